# syntax=docker/dockerfile:1
# nightreel on Ray's own image for GPUs; head, workers and drivers all run it. It builds on any machine, with or
# without a GPU, and holds no weights and no secrets:
#
#     docker build --tag nightreel .
#     docker build --tag nightreel --build-arg PIP_EXTRA_INDEX_URL=... .    # torch for another CUDA
#
# Ray's version is that of constraints.txt: a cluster whose parts have different ones does not start.
FROM rayproject/ray:2.60.0-py311-gpu

# Another index of packages, if torch is to come from there; empty is none.
ARG PIP_EXTRA_INDEX_URL=""

# No root: what Ray's image calls its user (1000).
USER ray
WORKDIR /tmp/nightreel

# By itself, since it is most of the image and changes least.
COPY --chown=ray:users constraints.txt constraints-cuda.txt ./
RUN python -m pip install --no-cache-dir --constraint constraints-cuda.txt torch

COPY --chown=ray:users pyproject.toml README.md LICENSE ./
COPY --chown=ray:users pipeline ./pipeline
COPY --chown=ray:users actors ./actors
COPY --chown=ray:users storage ./storage
COPY --chown=ray:users jobs ./jobs
RUN python -m pip install --no-cache-dir --constraint constraints-cuda.txt .

WORKDIR /home/ray
# That torch is built for CUDA shows without a GPU; ffmpeg comes in the package imageio-ffmpeg.
RUN python -c "import imageio_ffmpeg, torch; print(torch.__version__, imageio_ffmpeg.get_ffmpeg_exe()); assert torch.version.cuda, 'torch is not built for CUDA'" \
    && nightreel engines \
    && mkdir -p .cache/nightreel

# Weights are fetched here, once per node: mount a folder of the node.
VOLUME /home/ray/.cache/nightreel
