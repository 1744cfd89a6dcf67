"""From a key press to new pixels, in a real JupyterLab page: every explorer, beside `interact` with inline matplotlib.
JupyterLab hands messages on as `posebook lab` has it do (posebook/cli/websocket.py), for both.

    python benchmarks/interaction.py [--quick]

The peer draws what the explorer `decoding` computes, as a notebook would without posebook: two pictures and a title.
Presses and drags go to the first slider. A press counts until the second frame after the output has its new picture; a
drag's tail is the time from the last move of the mouse until the picture stays. Goals: p95 of 100 ms, the peer's p50
five times ours, a tail of 200 ms. The floor is a slider beside an HTML widget that shows its number.
"""

import sys
import tempfile
from pathlib import Path

import nbformat
import torch
from _measure import NotInstalled, line, main, needs, row

import posebook.explore

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import driver  # noqa: E402

NAMES = sorted(path.stem for path in Path(posebook.explore.__file__).parent.glob("[!_]*.py"))
PEER = """\
import matplotlib.pyplot as plt
from ipywidgets import FloatLogSlider, interact
from posebook.explore import decoding


def draw(tau):
    seen = decoding.compute(decoding.State(tau=tau))
    fig, (left, right) = plt.subplots(1, 2, figsize=(8, 4))
    left.imshow(seen.prob, cmap="Blues")
    right.imshow(seen.prob.clamp(1e-9).log(), cmap="Blues")
    for name, (x, y) in seen.points.items():
        right.plot(x / seen.state.stride, y / seen.state.stride, "o", label=name)
    right.legend()
    fig.suptitle(decoding.sentence(seen))
    plt.show()


interact(draw, tau=FloatLogSlider(0.1, min=-2, max=1, step=0.02));"""
BARE = """\
from ipywidgets import HTML, FloatLogSlider, VBox

slider, shown = FloatLogSlider(0.1, min=-2, max=1, step=0.02), HTML()


def draw(_=None):
    shown.value = f"<div role=img>{slider.value}</div>"


draw()
slider.observe(draw, "value")
VBox([slider, shown])"""
READY = """() => [...jupyterapp.shell.currentWidget.content.model.cells].every(c => c.executionCount)"""
# Resolves with the milliseconds from a key's event to the second frame after the picture in this output has changed.
# Keys go to the right, and turn where the slider ends.
PRESS = """output => new Promise(done => {
    const picture = () => output.querySelector('[role=img], img'), slider = output.querySelector('[role=slider]');
    const at = name => Number(slider.getAttribute('aria-value' + name));
    window.way = at('now') >= at('max') ? -1 : at('now') <= at('min') ? 1 : window.way ?? 1;
    const [key, code] = window.way > 0 ? ['ArrowRight', 39] : ['ArrowLeft', 37];
    let before = picture(), start;
    const look = async () => {
        const now = picture();
        if (!now || now === before) return requestAnimationFrame(look);
        if (now.decode) await now.decode();
        requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - start)));
    };
    slider.focus();
    start = performance.now();
    slider.dispatchEvent(new KeyboardEvent('keydown', {key, keyCode: code, which: code, bubbles: true}));
    look();
})"""
WATCH = """output => {
    window.last = performance.now();
    new MutationObserver(() => window.last = performance.now()).observe(output, {childList: true, subtree: true});
    document.addEventListener('mousemove', () => window.mouse = performance.now(), true);
}"""


def press(output, presses: int) -> torch.Tensor:
    """Milliseconds of each press, to and fro; the first five warm up."""
    return torch.tensor([output.evaluate(PRESS) for _ in range(presses + 5)][5:])


def drag(page, output) -> float:
    """Milliseconds from the last of 125 moves of the mouse until the picture stays."""
    output.evaluate(WATCH)
    spot = output.get_by_role("slider").first.bounding_box()
    x, y = spot["x"] + spot["width"] / 2, spot["y"] + spot["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for k in range(125):
        page.mouse.move(x + (k if k < 63 else 125 - k), y)
    page.wait_for_timeout(3000)
    tail = page.evaluate("window.last - window.mouse")
    page.mouse.up()
    return max(tail, 0.0)


def opened(lab: driver.Lab, code: str):
    """The page of a notebook with this one cell, run, and the cell's output."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, lab.served / "one.ipynb")
    page = lab.open("/tree/one.ipynb")
    page.wait_for_function("() => { const c = window.jupyterapp?.shell.currentWidget?.sessionContext;"
                           "        return c?.isReady && c.session?.kernel?.status === 'idle' }")
    page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_function(READY)
    output = page.locator(".jp-OutputArea-output:has([role=slider])").first
    output.locator("[role=img], img").first.wait_for()
    output.evaluate("e => e.scrollIntoView({block: 'center'})")
    return page, output


def each(cells: dict[str, str], presses: int) -> dict[str, tuple[torch.Tensor, float]]:
    found = {}
    with tempfile.TemporaryDirectory(prefix="posebook-bench-") as folder, driver.chromium() as browser:
        served = Path(folder, "served")
        served.mkdir()
        with driver.Lab(Path(folder), browser, served) as lab:
            print("key press to pixels  p50 ms  p95 ms   drag's tail ms", flush=True)
            for name, code in cells.items():
                page, output = opened(lab, code)
                found[name] = press(output, presses), drag(page, output)
                page.close()
                spent, tail = found[name]
                print(f"{name:19}  {spent.median():6.0f}  {spent.quantile(0.95):6.0f}   {tail:6.0f}", flush=True)
    return found


def measure(options) -> list[dict]:
    needs("playwright", "axe_playwright_python")
    if not driver.CHROMIUM:
        raise NotInstalled("chromium is not installed")
    names, presses = (NAMES[:1], 20) if options.quick else (NAMES, 60)
    ours = {name: f"from posebook.explore import {name}\n\n{name}.explore()" for name in names}
    again = {} if options.quick else {"interact again": PEER}
    found = each({"interact": PEER, "bare": BARE, **ours, **again}, presses)
    bare = found.pop("bare")[0].median().item()
    peers = [found.pop(name)[0].median().item() for name in ("interact", *again)]
    rows = []
    for name, (spent, tail) in found.items():
        p50 = spent.median().item()
        rows += [row(f"{name}, a key press", p50, peer="ipywidgets' interact, inline matplotlib", theirs=min(peers),
                     ratios=[peer / p50 for peer in peers], goal=">= 5"),
                 row(f"{name}, a key press", p50, peer="a bare slider", theirs=bare, ratios=[p50 / bare]),
                 row(f"{name}, a key press, p95", spent.quantile(0.95).item(), goal="<= 100"),
                 row(f"{name}, a drag's tail", tail, goal="<= 200")]
    print(*map(line, rows), sep="\n")
    return rows


if __name__ == "__main__":
    main(measure, __doc__)
