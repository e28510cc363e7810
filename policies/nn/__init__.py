"""Network building blocks: networks, memory, normalizers, saved state."""
