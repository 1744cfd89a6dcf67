// A formula that is wider than its paragraph scrolls, by keyboard too.
function fit() {
  const formulas = [...document.querySelectorAll("article .math")];
  const wide = formulas.map((box) => box.querySelector("mrow").getBoundingClientRect().width > room(box));
  formulas.forEach((box, k) => {
    box.classList.toggle("wide", wide[k]);
    wide[k] ? (box.tabIndex = 0) : box.removeAttribute("tabindex");
  });
}
function room(box) {
  return box.parentElement.closest("p, li, dd, td, div, section").clientWidth;
}
document.fonts.ready.then(fit);
addEventListener("resize", fit);
document.addEventListener("toggle", fit, true);
