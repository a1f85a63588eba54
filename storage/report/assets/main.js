// Draws the page, and opens the card that its address names: #trial-7.

function startingTrial() {
  const asked = location.hash.match(/^#trial-(\d+)$/);
  const index = asked ? known.trial.indexOf(Number(asked[1])) : -1;
  if (index >= 0) return index;
  const front = known.front.indexOf(true);
  return data.knee ?? (front >= 0 ? front : 0);
}

drawHead();
drawFindings();
state.selected = startingTrial();
drawFilters();
frontPlot();
parallelPlot();
drawImportance();
drawHypervolume();
configurationTable();
drawCost();
drawCommands();
on("select", drawCard);
drawCard(state.selected);
addEventListener("hashchange", () => {
  if (location.hash.startsWith("#trial-")) select(startingTrial());
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape") tip.hide();
});
