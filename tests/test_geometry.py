"""Cameras against their own matrix, rotations and hand-made pictures."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, stats
from torch import Tensor

from posebook import theory
from posebook.geometry import Camera, reprojection_gate, triangulate, triangulation_covariance


def random_camera(rng: torch.Generator) -> tuple[Camera, torch.Tensor]:
    """A camera somewhere, and the point that it looks at."""
    position, target = torch.randn(2, 3, generator=rng, dtype=torch.float64)
    return Camera.look_at(tuple(position.tolist()), tuple(target.tolist()), focal=500, hw=(480, 640)), target


def test_projection_is_that_of_the_matrix():
    rng = torch.Generator().manual_seed(0)
    for _ in range(50):
        camera, target = random_camera(rng)
        near = 0.1 * (target - camera.position).norm()
        points = target + near * torch.randn(5, 3, generator=rng, dtype=torch.float64)
        seen = torch.cat((points, points.new_ones(5, 1)), 1) @ camera.matrix.mT
        torch.testing.assert_close(camera.project(points), seen[:, :2] / seen[:, 2:])
        torch.testing.assert_close(camera.local(points)[:, 2], seen[:, 2])


def test_what_a_camera_looks_at_is_in_the_middle_and_upright():
    rng = torch.Generator().manual_seed(1)
    for _ in range(50):
        camera, target = random_camera(rng)
        middle = torch.tensor([319.5, 239.5], dtype=torch.float64)
        torch.testing.assert_close(camera.project(target), middle)
        above = camera.project(target - 0.01 * torch.eye(3, dtype=torch.float64)[1])  # y points down
        assert above[1] < middle[1] and abs(above[0] - middle[0]) < 1e-6
        torch.testing.assert_close(camera.local(camera.position), torch.zeros(3, dtype=torch.float64))


def test_a_point_to_the_right_is_seen_on_the_right_and_at_f_x_over_z():
    camera = Camera.look_at((0, 0, -4), (0, 0, 0), focal=800, hw=(101, 201))
    xy = camera.project(torch.tensor([[0.5, 0.0, 0.0], [0.0, 0.25, 4.0]]))
    assert xy.dtype == torch.float32
    torch.testing.assert_close(xy, torch.tensor([[200.0, 50.0], [100.0, 75.0]]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once(dtype):
    camera, target = random_camera(torch.Generator().manual_seed(3))
    points = (target + 0.1 * torch.rand(9, 3, generator=torch.Generator().manual_seed(4))).to(dtype)
    assert camera.local(points).dtype == torch.float32 and camera.project(points).dtype == dtype
    torch.testing.assert_close(camera.project(points), camera.project(points.double()).to(dtype), rtol=0, atol=0.5)


def test_projection_has_gradients():
    camera = random_camera(torch.Generator().manual_seed(2))[0]
    point = (camera.position + camera.rotation.mT @ torch.tensor([0.1, 0.2, 3.0], dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(camera.project, (point,))


EYE, ZERO = torch.eye(3), torch.zeros(3)


@pytest.mark.parametrize("make, words", [
    (lambda: Camera(0, (0, 0), EYE, ZERO), "focal: want a finite number > 0, got 0"),
    (lambda: Camera(1, (0,), EYE, ZERO), "center: want .x, y., two finite numbers"),
    (lambda: Camera(1, (0, 0), 2 * EYE, ZERO), "rotation: want a rotation"),
    (lambda: Camera(1, (0, 0), -EYE, ZERO), "rotation: want a rotation"),
    (lambda: Camera(1, (0, 0), EYE, torch.zeros(2)), "translation: want shape"),
    (lambda: Camera.look_at((0, 0, 1), (0, 0, 1), focal=1, hw=(2, 2)), "target: want a point away from position"),
    (lambda: Camera.look_at((0, 5, 0), (0, 0, 0), focal=1, hw=(2, 2)), "up: want a direction across"),
    (lambda: Camera(1, (0, 0), EYE, ZERO).project(torch.zeros(2)), "points: want shape"),
    (lambda: Camera(1, (0, 0), EYE, ZERO).project(torch.zeros(1, 3)), "points: want points in front of the camera"),
])  # fmt: skip
def test_errors(make, words):
    with pytest.raises(ValueError, match=words):
        make()


# ---------------------------------------------------------------------------------------------------------------------
# A point seen by several cameras


def ring(views: int, *, focal: float = 500, radius: float = 2.0) -> list[Camera]:
    """Cameras around the origin, at several heights and distances, that look at it."""
    cameras = []
    for k in range(views):
        angle = 0.9 * k + 0.2 * k * k
        away = radius * (1 + 0.3 * k)
        position = (away * np.sin(angle), 0.4 * k - 0.5, -away * np.cos(angle))
        cameras.append(Camera.look_at(position, (0, 0, 0), focal=focal * (1 + 0.2 * k), hw=(480, 640)))
    return cameras


def seen(points: Tensor, cameras: list[Camera]) -> Tensor:
    return torch.stack([camera.project(points) for camera in cameras], -2)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mixed(views: int) -> Tensor:
    """Covariances (V, 2, 2) that differ, with correlations."""
    root = normal(views, 2, 2, seed=9)
    return root @ root.mT + 0.2 * torch.eye(2, dtype=torch.float64)


@pytest.mark.parametrize("views", [2, 3, 5])
def test_exact_pixels_give_the_point_back(views, device):
    cameras, points = ring(views), 0.3 * normal(4, 7, 3, seed=views)
    xy = seen(points, cameras)
    before = xy.clone()
    for options in ({}, {"refine": False}, {"covariance": mixed(views)}):
        torch.testing.assert_close(triangulate(xy, cameras, **options), points)
    assert torch.equal(xy, before)
    one = triangulate(xy[1, 2], cameras)
    torch.testing.assert_close(one, points[1, 2])
    narrow = triangulate(xy.float().to(device), tuple(cameras))
    assert narrow.dtype == torch.float32 and narrow.device.type == device
    torch.testing.assert_close(narrow.cpu(), points.float(), atol=1e-5, rtol=0)
    assert triangulation_covariance(points.float().to(device), cameras, torch.eye(2)).dtype == torch.float32


@pytest.mark.parametrize("views, spread", [(2, 1.0), (3, 5.0), (4, 1.0), (6, 10.0)])
def test_the_answer_is_the_minimum_that_scipy_finds(views, spread):
    """Another optimizer, with derivatives by differences, that starts at the truth."""
    cameras, points, covariance = ring(views), 0.3 * normal(10, 3, seed=1), mixed(views)
    xy = seen(points, cameras) + spread * normal(10, views, 2, seed=2)
    whiten = torch.linalg.inv(torch.linalg.cholesky(covariance))
    found = triangulate(xy, cameras, covariance=covariance)
    for pixels, start, point in zip(xy, points, found, strict=True):
        def off(x, pixels=pixels):
            return (whiten @ (pixels - seen(torch.tensor(x), cameras))[..., None]).flatten().numpy()

        best = optimize.least_squares(off, start.numpy(), xtol=1e-14, ftol=1e-14, gtol=1e-14)
        torch.testing.assert_close(point, torch.tensor(best.x), atol=1e-7, rtol=0)
        assert np.square(off(point.numpy())).sum() <= 2 * best.cost * (1 + 1e-12)


def test_the_linear_start_is_the_least_squares_solution_of_its_rows():
    cameras = ring(3)
    xy = seen(0.3 * normal(5, 3, seed=3), cameras) + 3 * normal(5, 3, 2, seed=4)
    for pixels, point in zip(xy, triangulate(xy, cameras, refine=False), strict=True):
        rows = []
        for (x, y), camera in zip(pixels.numpy(), cameras, strict=True):
            p = camera.matrix.numpy() / camera.focal
            third = camera.matrix.numpy()[2]
            rows += [x / camera.focal * third - p[0], y / camera.focal * third - p[1]]
        rows = np.array(rows)
        want = np.linalg.lstsq(rows[:, :3], -rows[:, 3], rcond=None)[0]
        torch.testing.assert_close(point, torch.tensor(want), atol=1e-9, rtol=0)


def test_where_the_world_has_its_origin_and_its_unit_do_not_matter():
    cameras, points = ring(3), 0.3 * normal(6, 3, seed=5)
    xy = seen(points, cameras) + normal(6, 3, 2, seed=6)
    far, unit = torch.tensor([1000.0, -300.0, 50.0], dtype=torch.float64), 1000
    moved = [Camera(c.focal, c.center, c.rotation, unit * c.translation - c.rotation @ far) for c in cameras]
    for refine in (True, False):
        found = triangulate(xy, cameras, refine=refine)
        torch.testing.assert_close(triangulate(xy, moved, refine=refine), unit * found + far, atol=1e-5, rtol=0)
    one = torch.eye(2, dtype=torch.float64)
    claimed = triangulation_covariance(points, cameras, one)
    torch.testing.assert_close(triangulation_covariance(unit * points + far, moved, one), unit**2 * claimed)


def test_covariance_only_matters_up_to_its_size_and_order_of_views_not_at_all():
    cameras, covariance = ring(4), mixed(4)
    xy = seen(0.3 * normal(6, 3, seed=7), cameras) + 2 * normal(6, 4, 2, seed=8)
    found = triangulate(xy, cameras, covariance=covariance)
    torch.testing.assert_close(triangulate(xy, cameras, covariance=9 * covariance), found)
    torch.testing.assert_close(triangulate(xy, cameras, covariance=covariance.expand(6, 4, 2, 2)), found)
    torch.testing.assert_close(triangulate(xy, cameras), triangulate(xy, cameras, covariance=3 * torch.eye(2)))
    turned = [3, 1, 0, 2]
    again = triangulate(xy[:, turned], [cameras[k] for k in turned], covariance=covariance[turned])
    torch.testing.assert_close(again, found)


def test_triangulation_has_gradients():
    cameras = ring(3)
    xy = (seen(0.2 * normal(2, 3, seed=10), cameras) + normal(2, 3, 2, seed=11)).requires_grad_()
    for options in ({}, {"refine": False}, {"covariance": mixed(3)}):
        assert torch.autograd.gradcheck(lambda p, o=options: triangulate(p, cameras, **o), (xy,), atol=1e-6)
    point = (0.2 * normal(2, 3, seed=12)).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: 1e6 * triangulation_covariance(p, cameras, torch.eye(2)), (point,))


@pytest.mark.parametrize("views", [2, 3, 5])
def test_errors_scatter_as_predicted(views):
    """40000 draws of errors of about 1/2 px: each variance within 4 standard deviations of its estimate."""
    cameras, covariance = ring(views), 0.1 * mixed(views)
    point = torch.tensor([0.1, -0.1, 0.2], dtype=torch.float64)
    noise = torch.linalg.cholesky(covariance) @ normal(40_000, views, 2, 1, seed=views)
    found = triangulate(seen(point, cameras) + noise[..., 0], cameras, covariance=covariance)
    claimed = triangulation_covariance(point, cameras, covariance)
    assert claimed.shape == (3, 3) and torch.equal(claimed, claimed.mT)
    whitened = torch.linalg.solve_triangular(torch.linalg.cholesky(claimed), (found - point).mT, upper=False)
    torch.testing.assert_close(whitened.cov(), torch.eye(3, dtype=torch.float64), atol=4 * (2 / 4e4) ** 0.5, rtol=0)
    assert whitened.mean(1).abs().max() < 4 / 200


def test_no_views_more_make_it_worse_and_weights_beat_none():
    cameras, covariance = ring(5), mixed(5)
    points = 0.2 * normal(20, 3, seed=13)
    claims = [triangulation_covariance(points, cameras[:v], covariance[:v]) for v in (2, 3, 4, 5)]
    for fewer, more in zip(claims, claims[1:], strict=False):
        assert torch.linalg.eigvalsh(fewer - more).min() > -1e-12
    noise = (torch.linalg.cholesky(covariance) @ normal(4000, 5, 2, 1, seed=14))[..., 0]
    xy = seen(points[0], cameras) + noise
    off = [(triangulate(xy, cameras, covariance=s) - points[0]).square().sum(-1).mean() for s in (covariance, None)]
    assert off[0] < 0.9 * off[1]


@pytest.mark.parametrize("depth, baseline", [(1.0, 0.2), (2.0, 0.2), (4.0, 0.5), (3.0, 2.0)])
def test_depth_law(depth, baseline):
    pair = [Camera.look_at((x, 0, 0), (x, 0, 1), focal=600, hw=(480, 640)) for x in (-baseline / 2, baseline / 2)]
    point, sigma = torch.tensor([0, 0, depth], dtype=torch.float64), 0.3
    claimed = triangulation_covariance(point, pair, sigma**2 * torch.eye(2, dtype=torch.float64))
    law = theory.stereo_std(depth, focal=600, baseline=baseline, sigma=sigma)
    torch.testing.assert_close(claimed.diagonal().sqrt(), torch.tensor(law, dtype=torch.float64))
    assert law.z / law.x == pytest.approx(2 * depth / baseline)


@pytest.mark.parametrize("views", [2, 3, 4])
@pytest.mark.parametrize("level", [0.01, 0.2])
def test_gate_refuses_as_often_as_its_level_says_and_has_the_power_of_theory(views, level):
    cameras, covariance = ring(views), mixed(views)
    point = torch.tensor([0.1, -0.1, 0.2], dtype=torch.float64)
    noise = 0.3 * (torch.linalg.cholesky(covariance) @ normal(4000, views, 2, 1, seed=views))[..., 0]
    clean = seen(point, cameras)
    gate = reprojection_gate(clean + noise, cameras, 0.09 * covariance, level=level)
    assert gate.chi2.mean() == pytest.approx(2 * views - 3, abs=4 * (2 * (2 * views - 3) / 4e3) ** 0.5)
    assert (~gate.agree).double().mean() == pytest.approx(level, abs=4 * (level / 4e3) ** 0.5)
    bias = torch.zeros(views, 2, dtype=torch.float64)
    bias[0] = torch.tensor([0.5, 0.8])
    alone = reprojection_gate(clean + bias, cameras, 0.09 * covariance).chi2.item()
    power = theory.gate_power(views, alone, level=level)
    assert 0.05 < power < 0.999 or views == 2
    found = (~reprojection_gate(clean + bias + noise, cameras, 0.09 * covariance, level=level).agree).double().mean()
    assert found == pytest.approx(power, abs=4 * (power * (1 - power) / 4e3) ** 0.5 + 1e-3)


def test_gate_power_is_the_tail_of_the_noncentral_chi_square():
    for views, noncentrality, level in ((2, 3.0, 0.05), (4, 12.0, 0.01), (3, 40.0, 0.001)):
        dof = 2 * views - 3
        start = stats.chi2.isf(level, dof)
        tail = integrate.quad(lambda x, d=dof, n=noncentrality: stats.ncx2.pdf(x, d, n), start, np.inf)[0]
        assert theory.gate_power(views, noncentrality, level=level) == pytest.approx(tail, abs=1e-8)
        assert theory.gate_power(views, 0, level=level) == pytest.approx(level)


def test_gate_names_the_view_that_is_off_and_leaves_it_out():
    cameras, points = ring(4), 0.2 * normal(6, 3, seed=15)
    xy = (seen(points, cameras) + 0.2 * normal(6, 4, 2, seed=16)).unflatten(0, (2, 3))
    for bad in range(4):
        off = xy.clone()
        off[..., bad, 1] += 30
        gate = reprojection_gate(off, cameras, 0.04 * torch.eye(2))
        assert not gate.agree.any() and (gate.view == bad).all() and gate.view.dtype == torch.int64
        rest = [k for k in range(4) if k != bad]
        torch.testing.assert_close(gate.point, triangulate(xy[..., rest, :], [cameras[k] for k in rest]))
        one = reprojection_gate(off[1, 2], cameras, 0.04 * torch.eye(2))  # a batch's last digits may differ
        torch.testing.assert_close([part[1, 2] for part in gate], [*one], rtol=1e-12, atol=1e-12)
    fine = reprojection_gate(xy, cameras, 0.04 * torch.eye(2), level=1e-6)
    assert fine.agree.all() and (fine.view == -1).all()
    torch.testing.assert_close(fine.point, triangulate(xy, cameras))


def test_two_views_name_nobody_and_do_not_see_an_error_along_the_line():
    pair = [Camera.look_at((x, 0, 0), (x, 0, 1), focal=600, hw=(480, 640)) for x in (-0.1, 0.1)]
    xy = seen(torch.tensor([0.0, 0.0, 2.0], dtype=torch.float64), pair)
    along, across = xy.clone(), xy.clone()
    along[0, 0] += 20
    across[0, 1] += 20
    gate = reprojection_gate(torch.stack((along, across)), pair, torch.eye(2))
    assert gate.agree.tolist() == [True, False] and gate.view.tolist() == [-1, -1]
    torch.testing.assert_close(gate.chi2, torch.tensor([0.0, 200.0], dtype=torch.float64))  # half of 20 px in each view
    assert abs(gate.point[0, 2] - 2) > 0.4
    along[0, 0] -= 100  # the rays meet behind the cameras
    behind = reprojection_gate(along, pair, torch.eye(2))
    assert behind.chi2 == torch.inf and not behind.agree and behind.point.isnan().all()


LEFT, RIGHT = (Camera.look_at((x, 0, 0), (x, 0, 1), focal=600, hw=(480, 640)) for x in (-0.1, 0.1))
MIDDLE = torch.tensor([[319.5, 239.5], [319.5, 239.5]])
MET = torch.tensor([[349.5, 239.5], [289.5, 239.5]])  # at a depth of 2


@pytest.mark.parametrize("make, words", [
    (lambda: triangulate(MET[:1], [LEFT]), "cameras: want two or more, got 1"),
    (lambda: triangulate(MET, LEFT), "cameras: want two or more, got Camera"),
    (lambda: triangulate(MET, [LEFT, 3]), "cameras: want a Camera, got int"),
    (lambda: triangulate(MET, [LEFT, LEFT]), "cameras: want two places or more, got all at one"),
    (lambda: triangulate(MIDDLE, [LEFT, RIGHT]), "cameras: want rays that cross, got parallel ones"),
    (lambda: triangulate(MET.flip(0), [LEFT, RIGHT]), "xy: want a point in front of each camera, got one beside or"),
    (lambda: triangulate(MET[None, 0], [LEFT, RIGHT]), "xy: want shape .*, 2, 2., a pixel for each camera, got .1, 2"),
    (lambda: triangulate(MET.long(), [LEFT, RIGHT]), "xy: want a floating dtype"),
    (lambda: triangulate(MET / 0, [LEFT, RIGHT]), "xy: want finite values, got some that are not"),
    (lambda: triangulate(MET, [LEFT, RIGHT], covariance=torch.eye(3)), "covariance: want shape .*2, 2., got .3, 3"),
    (lambda: triangulate(MET, [LEFT, RIGHT], covariance=torch.eye(2).expand(3, 2, 2)), "covariance: want a shape that"),
    (lambda: triangulate(MET, [LEFT, RIGHT], covariance=-torch.eye(2)), "covariance: want positive definite"),
    (lambda: triangulate(MET, [LEFT, RIGHT], covariance=torch.eye(2), refine=False), "covariance: want None where"),
    (lambda: triangulation_covariance(torch.zeros(2), [LEFT, RIGHT], torch.eye(2)), "point: want shape .*3., got .2,"),
    (lambda: triangulation_covariance(torch.zeros(3), [LEFT, RIGHT], torch.eye(2)), "point: want a point in front of"),
    (lambda: triangulation_covariance(torch.tensor([0.0, 0, 1e7]), [LEFT, RIGHT], torch.eye(2)), "cameras: want rays"),
    (lambda: reprojection_gate(MET, [LEFT, RIGHT], torch.eye(2), level=2), "level: want a number from 0 to 1, got 2"),
    (lambda: reprojection_gate(MET, [LEFT, RIGHT], None), "covariance: want a tensor .*, got NoneType"),
    (lambda: theory.stereo_std(0, focal=1, baseline=1, sigma=1), "depth: want a finite number > 0, got 0"),
    (lambda: theory.gate_power(1, 0.0), "views: want a whole number >= 2, got 1"),
])  # fmt: skip
def test_errors_of_triangulation(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_wild_view_never_makes_the_fit_worse_than_its_linear_start():
    """As undamped steps may."""
    rng = torch.Generator().manual_seed(0)
    cameras = [Camera.look_at((x, 0.0, -3.0), (0, 0, 0), focal=600, hw=(480, 640)) for x in (-1.5, 0.0, 1.5)]
    points = 0.5 * torch.rand(300, 3, generator=rng, dtype=torch.float64)
    xy = torch.stack([camera.project(points) for camera in cameras], -2)
    xy[:, 1] += 4000 * (torch.rand(300, 2, generator=rng, dtype=torch.float64) - 0.5)
    costs = []
    for refine in (False, True):
        found, kept = [], []
        for k, one in enumerate(xy):
            try:
                found.append(triangulate(one, cameras, refine=refine))
                kept.append(k)
            except ValueError:
                continue  # they meet behind a camera
        seen = torch.stack([camera.project(torch.stack(found)) for camera in cameras], -2)
        costs.append(dict(zip(kept, (seen - xy[kept]).square().sum((-2, -1)).tolist(), strict=True)))
    both = costs[0].keys() & costs[1].keys()
    assert len(both) > 100 and all(costs[1][k] <= costs[0][k] * (1 + 1e-9) for k in both)


def test_an_empty_batch_and_a_gate_that_lets_all_pass():
    """But for views whose rays part: they meet behind the cameras and agree at no level."""
    cameras = [Camera.look_at((x, 0.0, -2.0), (x, 0, 0), focal=500, hw=(480, 640)) for x in (-0.5, 0.5)]
    parting = torch.tensor([[300.0, 239.5], [340.0, 239.5]])
    assert not reprojection_gate(parting, cameras, torch.eye(2), level=0).agree
    assert triangulate(torch.zeros(0, 2, 2), cameras).shape == (0, 3)
    assert reprojection_gate(torch.zeros(0, 2, 2), cameras, torch.eye(2)).agree.shape == (0,)


@pytest.mark.parametrize("make, words", [
    (lambda: Camera(1, (0, 0), EYE, torch.tensor([math.nan, 0, 0])), "translation: want finite numbers"),
    (lambda: Camera.look_at((math.nan, 0, 0), (0, 0, 1), focal=1, hw=(2, 2)), "position: want .x, y, z., three finite"),
    (lambda: Camera.look_at((0, 0), (0, 0, 1), focal=1, hw=(2, 2)), "position: want .x, y, z., three finite"),
])  # fmt: skip
def test_numbers_that_are_no_camera(make, words):
    with pytest.raises(ValueError, match=words):
        make()
