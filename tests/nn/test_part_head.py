"""The part head equals a plain rewrite, its evidence adds up, and it is deterministic outside training."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import image_models as plain
from ecotone.bench.part_plain import plain_maps, plain_pool
from ecotone.losses.part_orthogonality import part_orthogonality
from ecotone.nn.part_head import PartHead
from ecotone.nn.part_maps import gumbel_like, part_maps, part_scores, pool_parts


def head(**options: Any) -> PartHead:
    torch.manual_seed(0)
    made = PartHead(6, options.pop("parts", 3), 4, **options).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, dtype=parameter.dtype)
    return made


def features(batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 6, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_it_equals_the_plain_formulation_with_and_without_noise() -> None:
    made, z = head(), features()
    with torch.no_grad():
        noise = gumbel_like(made.scores(z), torch.Generator().manual_seed(2))
        for given in (None, noise):
            maps = part_maps(made.scores(z), noise=given)
            torch.testing.assert_close(maps, plain_maps(z, made.prototypes, given), rtol=0, atol=1e-12)
        out = made.eval()(z)
        torch.testing.assert_close(out.vectors, plain_pool(out.maps, z), rtol=0, atol=1e-12)
        norm = made.modulation.norm
        torch.testing.assert_close(
            out.modulated, plain.plain_layer_norm(out.vectors, norm.weight, norm.bias), rtol=0, atol=1e-12
        )
        torch.testing.assert_close(out.logits, plain.plain_logits(out.modulated, made.classifier), rtol=0, atol=1e-12)


def test_gradients_equal_those_of_the_plain_formulation() -> None:
    made, z = head().eval(), features()
    target = torch.tensor([1, 3])
    torch.nn.functional.cross_entropy(made(z).logits, target).backward()
    found = {name: p.grad.clone() for name, p in made.named_parameters() if p.grad is not None}
    made.zero_grad()
    maps = plain_maps(z, made.prototypes)
    norm = made.modulation.norm
    modulated = plain.plain_layer_norm(plain_pool(maps, z), norm.weight, norm.bias)
    torch.nn.functional.cross_entropy(plain.plain_logits(modulated, made.classifier), target).backward()
    for name, parameter in made.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize("modulation", ["layernorm", "scale", "none"])
@pytest.mark.parametrize("classifier", ["shared", "per_part"])
def test_every_parameter_is_in_a_group_and_gets_a_gradient(modulation: Any, classifier: Any) -> None:
    made = head(modulation=modulation, classifier=classifier).train()
    grouped = [id(p) for group in made.groups().values() for p in group]
    assert sorted(grouped) == sorted(id(p) for p in made.parameters())
    out = made(features(), torch.Generator().manual_seed(0))
    (out.logits.square().sum() + part_orthogonality(out.modulated)).backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None and float(parameter.grad.abs().max()) > 0, name


def test_evidence_of_parts_adds_up_and_the_background_has_no_vote() -> None:
    made = head(modulation="none").eval()
    out = made(features())
    torch.testing.assert_close(out.part_logits.mean(1), out.logits, rtol=0, atol=0)
    torch.testing.assert_close(out.maps.sum(1), torch.ones(2, 4, 5, dtype=torch.float64))
    changed = out.modulated.clone()
    changed[:, -1] += 100
    torch.testing.assert_close(made.classify(changed[:, :-1]).mean(1), out.logits, rtol=0, atol=0)


def test_noise_and_dropout_act_in_training_only_and_come_from_the_generator() -> None:
    made, z = head(), features()
    made.eval()
    torch.testing.assert_close(made(z).logits, made(z).logits, rtol=0, atol=0)
    assert made(z).noise is None
    made.train()
    one, two = (made(z, torch.Generator().manual_seed(5)).logits for _ in range(2))
    torch.testing.assert_close(one, two, rtol=0, atol=0)
    assert not torch.equal(one, made(z, torch.Generator().manual_seed(6)).logits)


def test_prototypes_are_what_places_are_nearest_to() -> None:
    prototypes = torch.eye(4, 6, dtype=torch.float64) * 3
    z = torch.zeros(1, 6, 2, 2, dtype=torch.float64)
    for k, (i, j) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        z[0, :, i, j] = prototypes[k] + 0.1
    scores = part_scores(z, prototypes)
    assert scores.argmax(1).flatten().tolist() == [0, 1, 2, 3]
    distance = (z[:, None] - prototypes[None, :, :, None, None]).square().sum(2)
    gap = scores + distance
    torch.testing.assert_close(gap, gap[:, :1].expand_as(gap))


def test_pooling_by_area_tells_the_size_and_by_mass_does_not() -> None:
    z = torch.ones(1, 2, 4, 4)
    maps = torch.zeros(1, 2, 4, 4)
    maps[0, 0, 0], maps[0, 1, 1:] = 1, 1
    torch.testing.assert_close(pool_parts(maps, z)[0, :, 0], torch.tensor([0.25, 0.75]))
    torch.testing.assert_close(pool_parts(maps, z, "mass"), torch.ones(1, 2, 2))
    assert torch.isfinite(pool_parts(torch.zeros_like(maps), z, "mass")).all()


def test_one_part_works_and_gumbel_noise_has_its_mean() -> None:
    out = head(parts=1).train()(features())
    assert out.part_logits.shape == (2, 1, 4) and torch.isfinite(out.logits).all()
    noise = gumbel_like(torch.empty(200000), torch.Generator().manual_seed(0))
    assert float(noise.mean()) == pytest.approx(0.5772, abs=0.01)
