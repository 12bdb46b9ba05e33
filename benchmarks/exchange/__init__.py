"""What it costs to exchange boundaries, beside memcpy, gloo and Ray used without thought."""
