"""PyTorch: its generator."""

from __future__ import annotations

from cellstack_guest.settings import Setting, module


def _read_torch() -> bytes:
    state: bytes = module("torch").get_rng_state().numpy().tobytes()
    return state


def _write_torch(state: bytes) -> None:
    torch = module("torch")
    torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))


SETTINGS = (Setting("torch", "torch", _read_torch, _write_torch),)
