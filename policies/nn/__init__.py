"""Network building blocks: networks, memories, normalizers, noise, saved state."""
