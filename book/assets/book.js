// Without this script every page can be read, and a click on a picture opens its file.

// What is wider than the page scrolls; the side on which more follows is faded by CSS, and a formula takes focus.
const SCROLLING = 'mjx-container[display="true"], .pst-scrollable-table-container, .bd-article pre';

function markEdges(region) {
  const hidden = region.scrollWidth - region.clientWidth;
  region.classList.toggle("more-before", hidden > 1 && region.scrollLeft > 1);
  region.classList.toggle("more-after", hidden - region.scrollLeft > 1);
  if (region.matches("mjx-container") && hidden > 1) {
    region.tabIndex = 0;
    region.setAttribute("role", "group");
    region.setAttribute("aria-label", "formula, wider than the page");
  }
}

function watchEdges() {
  const observer = new ResizeObserver((entries) => entries.forEach((entry) => markEdges(entry.target)));
  for (const region of document.querySelectorAll(SCROLLING)) {
    observer.observe(region);
    region.addEventListener("scroll", () => markEdges(region), { passive: true });
  }
}

// No line breaks between a formula in the text and the punctuation beside it.
function joinPunctuation() {
  for (const formula of document.querySelectorAll("span.math")) {
    const [, opening] = formula.previousSibling?.data?.match(/([([“]+)$/) ?? [];
    const [closing] = formula.nextSibling?.data?.match(/^[.,;:?!)\]”’]+/) ?? [];
    if (!opening && !closing) continue;
    const joined = document.createElement("span");
    joined.className = "joined";
    formula.before(joined);
    joined.append(opening ?? "", formula, closing ?? "");
    if (opening) joined.previousSibling.data = joined.previousSibling.data.slice(0, -opening.length);
    if (closing) joined.nextSibling.data = joined.nextSibling.data.slice(closing.length);
  }
}

// A formula in the text does not break; one that is wider than its line is set smaller. Some room is left for a full stop.
function fitFormulas() {
  for (const formula of document.querySelectorAll("span.math > mjx-container:not([display])")) {
    const room = (formula.closest("p, li")?.clientWidth - 8) / formula.offsetWidth;
    if (room < 1) formula.style.fontSize = `${parseFloat(getComputedStyle(formula).fontSize) * room}px`;
  }
}

// A picture is shown above the page, as large as the window allows or in its own pixels; Escape closes it.
function enlargePictures() {
  const dialog = document.createElement("dialog");
  dialog.className = "enlarged";
  dialog.setAttribute("aria-label", "Enlarged picture");
  dialog.innerHTML = '<button type="button">Close</button>';
  document.body.append(dialog);
  dialog.addEventListener("click", () => dialog.close());
  for (const link of document.querySelectorAll("a.enlarge"))
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      const source = link.querySelector("img");
      const fit = Math.min((innerWidth - 32) / source.naturalWidth, (innerHeight - 80) / source.naturalHeight);
      const image = source.cloneNode();
      image.width = source.naturalWidth * Math.min(2, Math.max(1, fit));
      dialog.querySelector("img")?.remove();
      dialog.append(image);
      dialog.showModal();
    });
}

joinPunctuation();
enlargePictures();
addEventListener("load", async () => {
  await window.MathJax?.startup?.promise;
  fitFormulas();
  watchEdges();
});
