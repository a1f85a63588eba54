// Everything of the page that no choice changes: head, findings, importance, cost, commands.

function drawHead() {
  const { study } = data;
  const goals = Object.entries(study.objectives).map(([name, way]) => `${way} ${words(name)}`).join(", ");
  byId("head").append(
    el("h1", {}, study.name),
    ...(study.description ? [el("p", { class: "lead" }, study.description)] : []),
    el("p", {}, `${goals} on the ${study.split} split; ${study.configurations} configurations x `,
      `${study.seeds} seeds by ${study.sampler}; ${study.stores.join(", ")}`,
      study.finished ? `; last result ${study.finished}` : ""),
    el("ul", { class: "tiles" }, tiles().map(([value, name]) =>
      el("li", {}, el("strong", {}, value), el("span", {}, name)))),
  );
}

function tiles() {
  const { study, hypervolume, knee } = data;
  const best = (metric) => {
    const found = indices.filter((i) => metric.mean[i] !== null && !known.failed[i]);
    const sign = metric.objective === "max" ? -1 : 1;
    const first = (a, b) => sign * (metric.mean[a] - metric.mean[b]) || known.front[b] - known.front[a];
    return found.sort(first)[0];
  };
  const top = objectives.map((metric) => [metric, best(metric)]).filter(([, index]) => index !== undefined)
    .map(([metric, index]) => [spread(metric, index), `best ${unit(metric)}, trial ${known.trial[index]}`]);
  return [
    ...top,
    [String(known.front.filter(Boolean).length), "configurations on the front"],
    knee === null ? null : [`trial ${known.trial[knee]}`, "knee of the front"],
    [plain(Number(hypervolume.value.toPrecision(3))), "hypervolume"],
    [`${study.complete} of ${study.of}`, `runs complete, ${study.failed} failed (${study.state})`],
  ].filter(Boolean);
}

function drawFindings() {
  byId("findings").append(data.findings.length
    ? el("ul", { class: "findings" }, data.findings.map(({ level, text }) =>
      el("li", { class: level }, el("span", { class: `badge ${level}` }, level), " ", text)))
    : el("p", {}, "Nothing stood out."));
}

function drawFilters() {
  const said = el("span", { class: "count" });
  const front = el("input", { type: "checkbox", id: "only-front" });
  const reset = button("Show all", () => {
    front.checked = state.onlyFront = false;
    state.filters = {};
    filter();
  });
  front.addEventListener("change", () => {
    state.onlyFront = front.checked;
    filter();
  });
  const tell = () => {
    const kept = Object.entries(state.filters).map(([key, { text }]) => `${columnOf[key].label} ${text}`);
    said.textContent = `${shownCount()} of ${counted(indices.length, "configuration")} shown`
      + (kept.length ? ` (${kept.join("; ")})` : "");
    reset.disabled = shownCount() === indices.length;
  };
  on("filter", () => {
    tell();
    say(said.textContent);
  });
  byId("filters").append(el("label", {}, front, " only the front"), said, reset);
  tell();
}

function drawImportance() {
  const found = data.importance;
  const targets = Object.keys(found.shares);
  if (!targets.length) {
    byId("importance").append(el("p", {}, found.notes.join(". ") || "Nothing can be said yet."));
    return;
  }
  const names = Object.keys(found.shares[targets[0]]);
  const labels = Object.fromEntries(parameters.map((p) => [p.name, p.label]));
  const cell = (share) => el("div", { class: "cell" }, bar([[share, "computed"]]), el("span", {}, percent(share)));
  byId("importance").append(
    plainTable(
      `Share of each parameter in what tells the best ${found.best} of ${found.configurations} from all (PED-ANOVA)`,
      ["parameter", ...targets.map((target) => (target === "front" ? "reaching the front" : words(target)))],
      names.map((name) => [labels[name] ?? name, ...targets.map((target) => cell(found.shares[target][name]))]),
    ),
    ...found.notes.map((note) => el("p", { class: "note" }, note)),
  );
}

function drawHypervolume() {
  const { value, band, reference, counts, values, low, high } = data.hypervolume;
  const against = objectives.map((metric, at) => `${metric.label} ${figure(metric, reference[at])}`).join(", ");
  const shown = (number) => Number(number.toPrecision(3));
  byId("hypervolume").append(el("p", {},
    `${shown(value)} (90 % of the draws: ${shown(band[0])} to ${shown(band[1])}), measured from ${against}.`));
  if (counts.length > 1) {
    byId("hypervolume").append(lineChart({
      series: [{ name: "hypervolume", x: counts, y: values, band: { low, high }, stepped: true, tail: 0.5 }],
      xName: "configurations finished", whole: true, yName: "hypervolume", height: 200,
      label: `Hypervolume by configurations finished; it ends at ${shown(value)}`,
    }));
  }
}

function drawCost() {
  const stages = Object.entries(data.cost);
  const total = (name) => stages.reduce((sum, [, cost]) => sum + cost[name], 0);
  const [spent, saved] = [total("computed_seconds"), total("reused_seconds")];
  const most = Math.max(...stages.map(([, cost]) => cost.computed_seconds + cost.reused_seconds), 1e-9);
  byId("cost").append(
    el("p", {}, `Computing took ${duration(spent)} of stages; reuse saved ${duration(saved)}`,
      spent + saved > 0 ? ` (${percent(saved / (spent + saved))} of what runs apart would have taken).` : "."),
    plainTable("By stage", ["stage", "computed", "took", "reused", "saved", "share"], stages.map(([stage, cost]) => [
      words(stage), String(cost.computed), duration(cost.computed_seconds), String(cost.reused),
      duration(cost.reused_seconds),
      bar([[cost.computed_seconds / most, "computed"], [cost.reused_seconds / most, "saved"]]),
    ])),
    el("p", { class: "note" }, "Dark: computed; light: what results of other runs saved."),
  );
  if (data.failures.length) {
    byId("cost").append(el("h3", {}, "Failures"), plainTable("Failed runs", ["trial", "seed", "error"],
      data.failures.map(({ trial, seed, error }) => [String(trial), String(seed), error ?? ABSENT]), { class: "worded" }));
  }
}

function drawCommands() {
  byId("repeat").append(
    ...data.commands.map(({ why, command: line }) => command(why, line)),
    el("p", { class: "note" }, `Made by ${data.code.join(" and ") || "code that left no trace"}.`),
    el("details", {}, el("summary", {}, "The study file"),
      el("pre", { class: "scroll", tabindex: "0", role: "group", "aria-label": "The study file" }, data.file)),
  );
}
