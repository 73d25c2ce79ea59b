// Runs before the first paint, so that a chosen theme never flashes. A classic script on purpose: modules come later.
(function () {
  const root = document.documentElement;
  root.classList.add("has-script");
  try {
    const choice = localStorage.getItem("theme");
    if (choice === "light" || choice === "dark") root.dataset.theme = choice;
  } catch {
    // Storage is refused: the system's wish holds.
  }
})();
