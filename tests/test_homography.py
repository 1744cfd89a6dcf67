"""Homographies and poses of flat markers, against scipy's least squares, simulation and derivatives."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation
from torch.nn.functional import pad

from posebook import theory
from posebook.geometry import (
    Camera,
    Pose,
    apply_homography,
    homography,
    homography_covariance,
    planar_pose,
    pose_covariance,
)

CAMERA = Camera.look_at((0.4, -0.2, -2.0), (0.1, 0.0, 0.0), focal=600, hw=(480, 640))
CORNERS = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]], dtype=torch.float64)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def board(side, half=0.1):
    """side x side points of a square marker, m."""
    line = torch.linspace(-half, half, side, dtype=torch.float64)
    return torch.cartesian_prod(line, line)


def solid(points):
    return pad(points, (0, 1))


def some_pose(seed, tilt=(20, 50)):
    """A marker near the world's origin, tilted by so many degrees in some direction and turned in its plane."""
    rng = np.random.default_rng(seed)
    way = rng.uniform(0, 2 * math.pi)
    tilted = Rotation.from_rotvec(math.radians(rng.uniform(*tilt)) * np.array([math.cos(way), math.sin(way), 0]))
    turned = tilted * Rotation.from_euler("z", rng.uniform(-180, 180), degrees=True)
    return Pose(torch.from_numpy(turned.as_matrix()), torch.from_numpy(rng.uniform(-0.1, 0.1, 3)))


def view(pose, points):
    return CAMERA.project(pose.place(solid(points)))


# ---------------------------------------------------------------------------------------------------------------------
# Homographies


@pytest.mark.parametrize("n", [4, 5, 9, 30])
@pytest.mark.parametrize("refine", [True, False])
def test_exact_points_give_the_homography_that_made_them(n, refine):
    rng = generator(n)
    src = 1000 * torch.rand(50, n, 2, generator=rng, dtype=torch.float64)
    src[:, :4] = src[:, :4] / 10 + 900 * (CORNERS + 1) / 2  # so that four are far from any line
    made = torch.eye(3, dtype=torch.float64) + 0.5 * torch.randn(50, 3, 3, generator=rng, dtype=torch.float64)
    made[:, 2] = torch.tensor([0, 0, 1.0]) + 2e-4 * torch.rand(50, 3, generator=rng, dtype=torch.float64)
    made = made / made.norm(dim=(-2, -1), keepdim=True)
    dst = apply_homography(made, src)
    found = homography(src, dst, refine=refine)
    torch.testing.assert_close(apply_homography(found, src), dst, atol=1e-7, rtol=1e-9)
    torch.testing.assert_close(found.norm(dim=(-2, -1)), found.new_ones(50))
    torch.testing.assert_close(found, made, atol=1e-7, rtol=0)


def test_it_is_the_least_squares_fit_of_scipy():
    rng = generator(0)
    for side in (3, 4):
        src = board(side)
        for seed in range(5):
            clean = view(some_pose(seed), src)
            dst = clean + 2 * torch.randn(clean.shape, generator=rng, dtype=torch.float64)
            h = homography(src, dst)
            left = apply_homography(h, src) - dst

            def residuals(entries, src=src, dst=dst):
                seen = solid(src).numpy() @ np.diag([1, 1, 0]) + [0, 0, 1]
                seen = seen @ np.append(entries, 1).reshape(3, 3).T
                return (seen[:, :2] / seen[:, 2:] - dst.numpy()).ravel()

            start = homography(src, clean)
            best = least_squares(residuals, (start / start[2, 2]).flatten()[:8].numpy(), x_scale="jac", xtol=1e-15,
                                 ftol=1e-15, gtol=1e-15)
            assert left.square().sum().item() == pytest.approx(2 * best.cost, rel=1e-9)
            linear = apply_homography(homography(src, dst, refine=False), src) - dst
            assert linear.square().sum() > left.square().sum() * (1 + 1e-6)
            torch.testing.assert_close(left, torch.from_numpy(residuals((h / h[2, 2]).flatten()[:8].numpy()))
                                       .view_as(left), atol=1e-8, rtol=0)


def test_units_order_and_batches_do_not_matter():
    rng = generator(1)
    src = board(3)
    dst = torch.stack([view(some_pose(seed), src) for seed in range(6)]).view(2, 3, 9, 2)
    dst = dst + torch.randn(dst.shape, generator=rng, dtype=torch.float64)
    places = torch.tensor([[0.0, 0.05], [0.3, -0.2]], dtype=torch.float64)
    landed = apply_homography(homography(src, dst), places)
    for i in range(2):
        for k in range(3):
            torch.testing.assert_close(apply_homography(homography(src, dst[i, k]), places), landed[i, k])
    scaled = apply_homography(homography(1000 * src + 70, 5 * dst - 9), 1000 * places + 70)
    torch.testing.assert_close(scaled, 5 * landed - 9)
    order = torch.randperm(9, generator=rng)
    torch.testing.assert_close(apply_homography(homography(src[order], dst[..., order, :]), places), landed)


def test_residuals_are_smaller_than_the_errors_by_the_law():
    for side, seed in ((2, 0), (3, 1), (4, 2), (6, 3)):
        n, sigma, tries = side**2, 0.5, 1000
        src = board(side)
        clean = view(some_pose(seed), src)
        dst = clean + sigma * torch.randn(tries, n, 2, generator=generator(seed), dtype=torch.float64)
        for parameters, seen in (
            (8, apply_homography(homography(src, dst), src)),
            (6, CAMERA.project(planar_pose(src, dst, CAMERA).place(solid(src).expand(tries, -1, -1)))),
        ):
            left = (seen - dst).square().mean((-2, -1))
            law = theory.reprojection_rms(sigma, n, parameters=parameters).item()
            if law == 0:
                assert left.max() < 1e-20
            else:
                freedom = 2 * n - parameters  # the sum of squares is chi-square
                error = math.sqrt(2 / (freedom * tries))
                # the flips of a pose of 4 points find a lower minimum than the law's
                assert left.mean().item() == pytest.approx(law**2, rel=4.5 * error + (0.05 if n == 4 else 0.01))


def test_covariance_is_that_of_simulated_landings():
    for side, seed in ((2, 0), (3, 1), (5, 2)):
        src, places = board(side), torch.tensor([[0.0, 0.0], [0.1, 0.1], [-0.2, 0.1]], dtype=torch.float64)
        clean = view(some_pose(seed, (10, 40)), src)
        sigma, tries = 0.1, 4000
        dst = clean + sigma * torch.randn(tries, side**2, 2, generator=generator(seed), dtype=torch.float64)
        off = apply_homography(homography(src, dst), places) - view(some_pose(seed, (10, 40)), places)
        found = torch.einsum("bni,bnj->nij", off, off) / tries
        made = homography_covariance(homography(src, clean), src, places, sigma=sigma)
        size = made.diagonal(dim1=-2, dim2=-1).sqrt()
        assert ((found - made).abs() < 0.1 * size[:, :, None] * size[:, None, :]).all()


def test_covariance_is_that_of_the_derivatives():
    """To first order: sigma^2 D D', with D by autograd through the fit itself."""
    for side, seed in ((2, 3), (3, 4)):
        src, places = board(side), torch.tensor([[0.03, 0.0], [0.3, 0.2]], dtype=torch.float64)
        clean = view(some_pose(seed), src)

        def land(dst, src=src, places=places):
            return apply_homography(homography(src, dst), places)

        slope = torch.autograd.functional.jacobian(land, clean).flatten(-2)  # (2, 2, 2N)
        made = homography_covariance(homography(src, clean), src, places, sigma=0.7)
        torch.testing.assert_close(made, 0.49 * slope @ slope.mT, rtol=1e-6, atol=1e-9)

        cube = torch.tensor([[0.1, 0.1, -0.2], [0.0, 0.1, 0.05]], dtype=torch.float64)

        def stand(dst, src=src, cube=cube):
            return CAMERA.project(planar_pose(src, dst, CAMERA).place(cube))

        slope = torch.autograd.functional.jacobian(stand, clean).flatten(-2)
        made = pose_covariance(planar_pose(src, clean, CAMERA), src, cube, CAMERA, sigma=0.7)
        torch.testing.assert_close(made, 0.49 * slope @ slope.mT, rtol=1e-6, atol=1e-9)


def test_a_marker_from_the_front():
    """The closed form is the trace of the propagated covariance, in every direction."""
    for side in (2, 3, 4, 7):
        src = board(side, half=1.0)
        h = torch.tensor([[30.0, 40.0, 7.0], [-40.0, 30.0, 9.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
        angle = torch.rand(9, generator=generator(side), dtype=torch.float64) * 2 * math.pi
        radius = torch.linspace(0, 6, 9, dtype=torch.float64)
        places = radius[:, None] * torch.stack((angle.cos(), angle.sin()), -1)
        trace = homography_covariance(h, src, places, sigma=0.5).diagonal(dim1=-2, dim2=-1).sum(-1)
        torch.testing.assert_close(theory.marker_error(radius, sigma=0.5, side=side), trace.sqrt())
    four = theory.marker_error(radius, sigma=2.0)
    torch.testing.assert_close(four, 2 * (1 + radius**4 / 4).sqrt())


@pytest.mark.parametrize("n", [4, 9])
def test_gradients(n):
    rng = generator(5)
    src = board(3)[[0, 2, 6, 8, 1, 3, 4, 5, 7]][:n].requires_grad_()
    clean = view(some_pose(1), src.detach())
    dst = (clean + 0.1 * torch.randn(n, 2, generator=rng, dtype=torch.float64)).requires_grad_()
    place = torch.tensor([[0.15, 0.05]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b, p: apply_homography(homography(a, b), p), (src, dst, place),
                                    eps=1e-5, atol=1e-3, rtol=1e-3)
    cube = torch.tensor([[0.05, 0.1, -0.1]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda a, b: CAMERA.project(planar_pose(a, b, CAMERA).place(cube)), (src, dst),
                                    eps=1e-5, atol=1e-3, rtol=1e-3)


# ---------------------------------------------------------------------------------------------------------------------
# Poses


def test_exact_points_give_the_pose_that_made_them():
    for seed in range(20):
        pose = some_pose(seed, (5, 75))
        for points in (board(2), board(3) + torch.tensor([0.3, -0.1]), board(4)):
            found = planar_pose(points, view(pose, points), CAMERA)
            torch.testing.assert_close(found.rotation, pose.rotation, atol=1e-7, rtol=0)
            torch.testing.assert_close(found.translation, pose.translation, atol=1e-7, rtol=0)


def test_it_is_the_best_of_many_starts_of_scipy():
    """Also where the mirrored tilt fits better than the true one."""
    flips = 0
    for seed in range(12):
        pose, points = some_pose(seed), board(2, half=0.05)
        dst = view(pose, points) + 0.5 * torch.randn(4, 2, generator=generator(seed), dtype=torch.float64)
        found = planar_pose(points, dst, CAMERA)
        cost = (view(found, points) - dst).square().sum().item()

        def residuals(p, points=points, dst=dst):
            turned = torch.from_numpy(Rotation.from_rotvec(p[:3]).as_matrix())
            return (view(Pose(turned, torch.from_numpy(p[3:])), points) - dst).flatten().numpy()

        rng = np.random.default_rng(seed)
        true = Rotation.from_matrix(pose.rotation.numpy())
        starts = [true * Rotation.from_rotvec(rng.normal(0, 0.6, 3)) for _ in range(6)]
        costs = [2 * least_squares(residuals, [*start.as_rotvec(), *pose.translation], x_scale=0.1).cost
                 for start in (true, *starts)]
        assert cost < min(costs) * (1 + 1e-6) + 1e-12
        flips += costs[0] > cost * (1 + 1e-3) + 1e-3
    assert 1 <= flips <= 8


def test_pose_covariance_is_that_of_simulated_cubes():
    points, pose = board(4), some_pose(3, (35, 36))
    cube = torch.tensor([[0.1, 0.1, 0.0], [0.1, -0.1, -0.2], [0.0, 0.0, 0.1]], dtype=torch.float64)
    dst = view(pose, points) + 0.1 * torch.randn(4000, 16, 2, generator=generator(0), dtype=torch.float64)
    off = CAMERA.project(planar_pose(points, dst, CAMERA).place(cube)) - CAMERA.project(pose.place(cube))
    found = torch.einsum("bni,bnj->nij", off, off) / 4000
    made = pose_covariance(pose, points, cube, CAMERA, sigma=0.1)
    size = made.diagonal(dim1=-2, dim2=-1).sqrt()
    assert ((found - made).abs() < 0.1 * size[:, :, None] * size[:, None, :]).all()


def test_poses_come_in_batches_and_keep_to_the_marker():
    points = board(3)
    dst = torch.stack([view(some_pose(seed), points) for seed in range(6)]).view(2, 3, 9, 2)
    dst = dst + 0.3 * torch.randn(dst.shape, generator=generator(2), dtype=torch.float64)
    poses = planar_pose(points, dst, CAMERA)
    assert poses.rotation.shape == (2, 3, 3, 3) and poses.translation.shape == (2, 3, 3)
    eye = torch.eye(3, dtype=torch.float64).expand(2, 3, 3, 3)
    torch.testing.assert_close(poses.rotation @ poses.rotation.mT, eye)
    torch.testing.assert_close(torch.det(poses.rotation), torch.ones(2, 3, dtype=torch.float64))
    one = planar_pose(points, dst[1, 2], CAMERA)
    torch.testing.assert_close(one.rotation, poses.rotation[1, 2], atol=1e-6, rtol=0)
    moved = planar_pose(points + 0.5, dst, CAMERA)  # another origin on the marker
    torch.testing.assert_close(moved.place(solid(points + 0.5)), poses.place(solid(points)), atol=1e-6, rtol=0)
    cube = torch.tensor([[0.1, 0.0, -0.1]], dtype=torch.float64)
    made = pose_covariance(poses, points, cube, CAMERA, sigma=0.5)
    assert made.shape == (2, 3, 1, 2, 2)
    torch.testing.assert_close(made[1, 2], pose_covariance(one, points, cube, CAMERA, sigma=0.5), rtol=1e-4, atol=1e-6)


# ---------------------------------------------------------------------------------------------------------------------
# What the functions share


def results(points, dst):
    h = homography(points, dst)
    pose = planar_pose(points, dst, CAMERA)
    places = pad(points, (0, 1), value=-0.1)
    return (h, apply_homography(h, points), homography_covariance(h, points, points, sigma=1.0), *pose,
            pose_covariance(pose, points, places, CAMERA, sigma=1.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_device_and_inputs(dtype, device):
    points = board(3).to(dtype).to(device)
    dst = view(some_pose(0), board(3)).to(dtype).to(device)
    before = points.clone(), dst.clone()
    outs = results(points, dst)
    assert all((out.dtype, out.device.type) == (dtype, device) for out in outs)
    exact = results(points.double().cpu(), dst.double().cpu())
    for out, want in zip(outs, exact, strict=True):
        torch.testing.assert_close(out.double().cpu(), want, atol=2e-3, rtol=2e-3)
    assert torch.equal(points, before[0]) and torch.equal(dst, before[1])
    assert [out.shape for out in results(points.to("meta"), dst.to("meta"))] == [out.shape for out in outs]


@pytest.mark.parametrize("surroundings", [
    lambda: torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode, lambda: torch.device("meta")])
def test_surroundings_change_nothing(surroundings):
    points, dst = board(3).float(), view(some_pose(0), board(3)).float()
    want = results(points, dst)
    with surroundings():
        found = results(points, dst)
    assert all(torch.equal(a, b) for a, b in zip(found, want, strict=True))


LINE = torch.tensor([[0.0, 0.0], [0.1, 0.1], [0.2, 0.2], [0.0, 1.0]], dtype=torch.float64)  # three on a line
SQUARE = 100 * CORNERS + 320
FLAT = "four points with no three on a line, got points that do not fix a plane"
EYE = torch.eye(3, dtype=torch.float64)


@pytest.mark.parametrize("make, words", [
    (lambda: homography(CORNERS[:3], SQUARE[:3]), r"src: want shape \(..., N, 2\) with N >= 4, got \(3, 2\)"),
    (lambda: homography(CORNERS, SQUARE[:3]), r"dst: want shape"),
    (lambda: homography(CORNERS, torch.cat((SQUARE, SQUARE))), "dst: want 4 points as in src, got 8"),
    (lambda: homography(CORNERS.long(), SQUARE), "src: want a floating dtype, got int64"),
    (lambda: homography(CORNERS * math.nan, SQUARE), "src: want finite coordinates"),
    (lambda: homography(LINE, SQUARE), f"src: want {FLAT}"),
    (lambda: homography(LINE.float(), SQUARE), f"src: want {FLAT}"),
    (lambda: homography(1e4 + 300 * LINE[[3, 1, 0, 2]], SQUARE), f"src: want {FLAT}"),
    (lambda: homography(CORNERS, 100 * LINE), f"dst: want {FLAT}"),
    (lambda: homography(torch.zeros(4, 2), SQUARE), f"src: want {FLAT}"),
    (lambda: homography(torch.cat((LINE, LINE[:3])), torch.rand(7, 2)), f"src: want {FLAT}"),  # all but one
    (lambda: homography(torch.stack((CORNERS, LINE)), SQUARE), f"src: want {FLAT}"),
    (lambda: homography(CORNERS, SQUARE[[0, 2, 1, 3]]), "dst: want the points of src, all on one side of a horizon"),
    (lambda: apply_homography(EYE[:2], CORNERS), r"h: want shape \(..., 3, 3\)"),
    (lambda: apply_homography(EYE, CORNERS[0]), "points: want shape"),
    (lambda: apply_homography(EYE.roll(1, 0), -CORNERS[2:]), "points: want points on this side of the horizon"),
    (lambda: apply_homography(-EYE, CORNERS), "points: want points on this side of the horizon"),
    (lambda: homography_covariance(EYE, LINE, CORNERS, sigma=1.0), f"src: want {FLAT}"),
    (lambda: homography_covariance(EYE, CORNERS, CORNERS, sigma=0), "sigma: want a finite number > 0, got 0"),
    (lambda: planar_pose(LINE, SQUARE, CAMERA), f"points: want {FLAT}"),
    (lambda: planar_pose(CORNERS, 100 * LINE, CAMERA), f"xy: want {FLAT}"),
    (lambda: planar_pose(CORNERS, SQUARE[[0, 2, 1, 3]], CAMERA), "xy: want the points of points, all on one side"),
    (lambda: planar_pose(CORNERS, SQUARE, None), "camera: want a Camera, got NoneType"),
    (lambda: pose_covariance(Pose(EYE, EYE[2]), LINE, solid(LINE), CAMERA, sigma=1.0), f"points: want {FLAT}"),
    (lambda: pose_covariance(Pose(EYE, -9 * EYE[2]), CORNERS, solid(CORNERS), CAMERA, sigma=1.0),
     "points: want points in front of the camera"),
    (lambda: pose_covariance(Pose(EYE, 9 * EYE[2]), CORNERS, -99 * EYE[2:], CAMERA, sigma=1.0),
     "places: want points in front of the camera"),
    (lambda: theory.reprojection_rms(0, 4), "sigma: want a finite number > 0, got 0"),
    (lambda: theory.reprojection_rms(1.0, 3), "points: want a whole number >= 4, got 3"),
    (lambda: theory.reprojection_rms(1.0, 4, parameters=0), "parameters: want a whole number >= 1, got 0"),
    (lambda: theory.marker_error(-1.0, sigma=1.0), "radius: want >= 0, got -1.0"),
    (lambda: theory.marker_error(1.0, sigma=-1), "sigma: want a finite number > 0"),
    (lambda: theory.marker_error(1.0, sigma=1, side=1), "side: want a whole number >= 2, got 1"),
])  # fmt: skip
def test_errors(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_the_law_of_residuals_is_exact_for_linear_models():
    """The mean square left by a least squares fit is sigma^2 trace(I - hat) / 2 N, whatever the model's matrix."""
    for n, p in ((4, 8), (9, 8), (16, 6), (5, 3)):
        matrix = torch.randn(2 * n, p, generator=generator(n), dtype=torch.float64)
        hat = matrix @ torch.linalg.pinv(matrix)
        left = (torch.eye(2 * n) - hat).trace() / (2 * n)
        law = theory.reprojection_rms(3.0, n, parameters=p)
        torch.testing.assert_close(law.square(), 9 * left, atol=1e-9, rtol=1e-9)
        assert law.dtype == torch.float64


def test_the_linear_solution_has_no_gradient_and_dtypes_may_be_mixed():
    src = torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1], [0.4, 0.7]])
    dst = (3 * src.double() + 5 + 0.1 * src.double().flip(-1).square()).requires_grad_()
    assert not homography(src, dst, refine=False).requires_grad and homography(src, dst).requires_grad
    h = homography(src, dst.detach())
    assert h.dtype == torch.float64 and apply_homography(h, src).dtype == torch.float32
    torch.testing.assert_close(apply_homography(h, src), apply_homography(h, src.double()).float())


def test_an_error_names_the_points_that_are_beyond_the_horizon():
    h = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 0, 0.5]])
    ahead = torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    for name, src, points in (("src", ahead - 1, ahead), ("points", ahead, ahead - 1)):
        with pytest.raises(ValueError, match=f"^{name}: want points on this side of the horizon"):
            homography_covariance(h, src, points, sigma=1.0)
