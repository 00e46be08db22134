"""The vision transformer: dropped patches are gone, packed equals hidden, gates carry a true derivative."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ecotone.errors import InputError
from ecotone.nn.attention import gated_attention
from ecotone.nn.vit import VisionTransformer, ViTConfig, quota_of
from image_models import plain_transformer

TINY = ViTConfig(image_size=16, patch=4, width=16, depth=2, heads=2, registers=1)


def tiny(**options: Any) -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(ViTConfig(**{**TINY.__dict__, **options})).double().eval()


def images(batch: int = 3, size: int = 16, channels: int = 3) -> Tensor:
    return torch.randn(batch, channels, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def some_kept() -> Tensor:
    keep = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(2)) < 0.4
    keep[2] = False  # nothing at all
    return keep


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("gated", [True, False])
def test_dropped_patches_equal_their_absence(packed: bool, gated: bool) -> None:
    net, x, keep = tiny(), images(), some_kept()
    out = net(x, packed=packed, **({"gate": keep.double()} if gated else {"keep": keep}))
    for n, row in enumerate(plain_transformer(net, x, keep)):
        torch.testing.assert_close(out.prefix[n], row[:2], rtol=0, atol=1e-11)
        torch.testing.assert_close(out.patches[n][keep[n].flatten()], row[2:], rtol=0, atol=1e-11)
        assert not out.patches[n][~keep[n].flatten()].any()


def test_packed_and_hidden_give_equal_gradients() -> None:
    found = []
    for packed in (True, False):
        net = tiny()
        net(images(), keep=some_kept(), packed=packed).prefix[:, 0].square().sum().backward()
        found.append({name: p.grad for name, p in net.named_parameters()})
    for name, grad in found[0].items():
        torch.testing.assert_close(grad, found[1][name], rtol=0, atol=1e-10, msg=name)
        assert grad is not None and float(grad.abs().max()) > 0, name


@pytest.mark.parametrize("what", ["noise", "huge", "nan"])
def test_what_dropped_patches_show_changes_no_bit(what: str) -> None:
    net, x, keep = tiny().float(), images().float(), some_kept()
    hidden = ~keep.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, None].expand_as(x)
    other = x.clone()
    other[hidden] = {
        "noise": torch.randn(int(hidden.sum())),
        "huge": torch.tensor(1e30),
        "nan": torch.tensor(torch.nan),
    }[what]
    one, two = net(x, keep=keep), net(other, keep=keep)
    assert torch.equal(one.prefix, two.prefix) and torch.equal(one.patches, two.patches)


def test_nothing_kept_still_answers_from_the_prefix() -> None:
    net = tiny()
    out = net(images(2), keep=torch.zeros(2, 4, 4, dtype=torch.bool))
    torch.testing.assert_close(out.prefix[0], out.prefix[1], rtol=0, atol=0)
    assert torch.isfinite(out.prefix).all() and not out.patches.any()


def test_a_gate_has_the_derivative_of_letting_a_patch_in() -> None:
    net, x, keep = tiny(), images(), some_kept()

    def score(gate: Tensor) -> Tensor:
        weighted = torch.cat([torch.ones(3, 2, dtype=torch.float64), gate.flatten(1)], 1)
        tokens = torch.cat([net.prefix.expand(3, -1, -1), net.embed(x)], 1)
        return net._blocks(tokens, gate=weighted)[:, 0].square().sum()

    gate = keep.double().requires_grad_()
    score(gate).backward()
    step = 1e-6
    for n, i, j in [(0, 0, 0), (0, 2, 1), (1, 3, 3), (2, 1, 2)]:
        up = keep.double()
        up[n, i, j] += step
        slope = float((score(up) - score(keep.double())).detach()) / step
        assert float(gate.grad[n, i, j]) == pytest.approx(slope, rel=1e-3, abs=1e-6)  # type: ignore[index]
    assert (gate.grad.abs() > 0).all()  # type: ignore[union-attr]


def test_packed_gates_reach_the_patches_that_are_computed_and_no_others() -> None:
    net, x, keep = tiny(), images(), some_kept()
    quota = quota_of(~keep.flatten(1), 0.3, torch.Generator().manual_seed(0)).view_as(keep)
    full, part = keep.double().requires_grad_(), keep.double().requires_grad_()
    net(x, gate=full, packed=False).prefix[:, 0].square().sum().backward()
    net(x, gate=part, keep=quota).prefix[:, 0].square().sum().backward()
    computed = keep | quota
    assert int(quota.sum()) < int((~keep).sum())
    torch.testing.assert_close(part.grad[computed], full.grad[computed], rtol=0, atol=1e-10)  # type: ignore[index]
    assert not part.grad[~computed].any() and (part.grad[computed] != 0).all()  # type: ignore[index]


def test_gated_attention_survives_scores_that_differ_much() -> None:
    q, k = torch.full((1, 1, 1, 1), 200.0), torch.tensor([[[[1.0], [-1.0]]]])
    v, gate = torch.tensor([[[[1.0], [2.0]]]]), torch.tensor([[0.0, 1.0]]).requires_grad_()
    out = gated_attention(q, k, v, gate)
    out.sum().backward()
    assert float(out.detach()) == 2 and torch.isfinite(gate.grad).all()  # type: ignore[arg-type]


def test_a_quota_is_a_share_of_the_dropped() -> None:
    dropped = ~some_kept().flatten(1)
    quota = quota_of(dropped, 0.25, torch.Generator().manual_seed(0))
    assert not (quota & ~dropped).any()
    assert quota.sum(1).tolist() == [math.ceil(0.25 * int(n)) for n in dropped.sum(1)]
    assert not quota_of(dropped, 0.0).any() and torch.equal(quota_of(dropped, 1.0), dropped)


def test_any_size_and_channel_count() -> None:
    net = tiny(channels=5)
    assert net.maps(images(2, 24, 5)).shape == (2, 16, 6, 6)
    wide = torch.zeros(1, 5, 8, 20, dtype=torch.float64)
    assert net.maps(wide).shape == (1, 16, 2, 5)
    assert net.positions((4, 4)) is net.position


@pytest.mark.parametrize(
    ("shape", "code"), [((1, 3, 2, 16), "IM706"), ((1, 3, 18, 16), "IM706"), ((1, 4, 16, 16), "IM704")]
)
def test_images_it_cannot_read_are_refused(shape: tuple[int, ...], code: str) -> None:
    with pytest.raises(InputError) as caught:
        tiny()(torch.zeros(shape, dtype=torch.float64))
    assert caught.value.code == code


@pytest.mark.parametrize("stem", ["linear", "mlp", "conv"])
def test_local_stems_see_their_own_patch_only(stem: Any) -> None:
    net = tiny(stem=stem)
    x = images(1).requires_grad_()
    net.embed(x)[0, 5].sum().backward()
    seen = x.grad[0].abs().amax(0)  # type: ignore[index]
    inside = torch.zeros(16, 16, dtype=torch.bool)
    inside[4:8, 4:8] = True
    assert (seen[inside] > 0).all()
    assert net.config.local == (not seen[~inside].any())


@pytest.mark.parametrize(
    "options",
    [
        {"registers": 0, "class_token": False},
        {"pre_norm": True, "patch_bias": False},
        {"layer_scale": 0.5},
        {"stem": "mlp"},
    ],
)
def test_variants_run_and_train_every_parameter(options: dict[str, Any]) -> None:
    net = tiny(**options)
    out = net(images(), keep=some_kept())
    (out.summary().square().sum() + out.maps().square().sum()).backward()
    for name, parameter in net.named_parameters():
        if parameter.numel():
            assert parameter.grad is not None and float(parameter.grad.abs().max()) > 0, name


def test_the_summary_without_a_class_token_is_the_mean_of_kept_patches() -> None:
    net, keep = tiny(registers=0, class_token=False), some_kept()
    keep[2, 0, 0] = True
    out = net(images(), keep=keep)
    for n in range(3):
        torch.testing.assert_close(out.summary()[n], out.patches[n][keep[n].flatten()].mean(0))
