"""The recipe drives the autoencoder as diffusers does."""

import torch

from jobs.embedded.autoencoder import build_autoencoder, decode_unclamped, encode_moments
from jobs.embedded.recipe import Recipe


def test_two_pieces_give_the_numbers_of_diffusers_loop(recipe: Recipe):
    torch.manual_seed(0)
    vae = build_autoencoder(recipe.autoencoder).eval()
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
        pixels = torch.rand(1, 3, 13, 16, 32) * 2.0 - 1.0
        mean, _ = encode_moments(vae, pixels)
        stock = vae.encode(pixels).latent_dist.mean
        torch.testing.assert_close(mean, stock, rtol=1e-5, atol=1e-5)
        decoded = decode_unclamped(vae, stock).clamp(-1.0, 1.0)
        torch.testing.assert_close(decoded, vae.decode(stock).sample, rtol=1e-5, atol=1e-5)


def test_before_training_time_is_switched_off(recipe: Recipe):
    torch.manual_seed(0)
    vae = build_autoencoder(recipe.autoencoder).eval()
    still = (torch.rand(1, 3, 1, 16, 32) * 2.0 - 1.0).expand(-1, -1, 13, -1, -1)
    with torch.no_grad():
        mean, _ = encode_moments(vae, still)
    assert mean.shape[2] == 4
    torch.testing.assert_close(mean[:, :, 1], mean[:, :, 3], rtol=1e-4, atol=1e-4)
