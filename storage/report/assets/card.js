// The card of one configuration: its values, metrics, curves, certificate, picture and runs.

const TELLING = ["validation_accuracy", "train_accuracy", "loss"]; // curves, the best first
const PHASES = ["dense", "finetune"];
let curveShown = null; // stays as it was chosen when another card is opened

function drawCard(index) {
  const card = data.cards[index];
  const parts = [
    el("h2", { id: "card-title" }, `Trial ${known.trial[index]}`, badges(index)),
    standing(index),
    el("dl", { class: "set" }, parameters.map((p) =>
      el("div", {}, el("dt", {}, p.label), el("dd", {}, plain(p.values[index]))))),
    metricTable(index, card),
  ];
  if (card) {
    parts.push(curveSection(card), proofSection(card), pictureSection(card), runSection(card));
  } else {
    parts.push(el("p", { class: "note" },
      "This page holds runs, curves and pictures of the front and of what comes close to it. ",
      "The commands below show this trial."));
  }
  parts.push(el("h3", {}, "Commands"), ...data.trial_commands.map(({ why, command: line }) =>
    command(why, line.replaceAll("TRIAL", known.trial[index]))));
  const inside = byId("card").contains(document.activeElement);
  byId("card").replaceChildren(...parts.filter(Boolean));
  if (inside) byId("card").focus({ preventScroll: true });
}

function badges(index) {
  const found = [
    known.front[index] && ["on the front", "good"],
    index === data.knee && ["knee", "good"],
    known.failed[index] > 0 && [`${counted(known.failed[index], "failed run")}`, "bad"],
  ];
  return found.filter(Boolean).map(([text, kind]) => el("span", { class: `badge ${kind}` }, text));
}

function standing(index) {
  const share = percent(known.probability[index]);
  const better = known.dominated_by[index];
  const text = `On the front in ${share} of the draws over seeds. `;
  if (better < 0) return el("p", {}, text, known.why_not[index] ? `Why not: ${known.why_not[index]}.` : "");
  return el("p", {}, text, `It is ${known.why_not[index]} (in ${percent(known.dominated_share[index])} of the draws). `,
    button(`Show trial ${known.trial[better]}`, () => select(better), { class: "link" }));
}

function metricTable(index, card) {
  const good = card ? card.runs.filter((run) => run.values.length) : [];
  const dense = (metric) => metricNamed[`dense_${metric.name}`];
  const row = (metric) => [
    unit(metric),
    spread(metric, index),
    dense(metric) ? spread(dense(metric), index) : ABSENT,
  ];
  const final = metrics.filter((metric) => !metric.name.startsWith("dense_"));
  const first = final.filter((metric) => metric.objective || BESIDE.includes(metric.name));
  const rest = final.filter((metric) => !first.includes(metric) && metric.mean[index] !== null);
  const seeds = good.length ? plainTable("Objectives by seed", ["seed", ...objectives.map(unit)],
    good.map((run) => [String(run.seed), ...objectives.map((metric, at) => figure(metric, run.values[at]))])) : null;
  return el("div", {},
    plainTable("Metrics: mean ± standard error", ["metric", "final", "dense model"], first.map(row)),
    el("details", {}, el("summary", {}, "Seeds and other metrics"), seeds,
      plainTable("Other metrics", ["metric", "final", "dense model"], rest.map(row))));
}

function curveSection(card) {
  const runs = (phase) => card.runs
    .filter((run) => data.curves[run.keys[phase]])
    .map((run) => [run, data.curves[run.keys[phase]]]);
  const names = [...new Set(PHASES.flatMap((phase) => runs(phase).flatMap(([, curve]) => Object.keys(curve))))]
    .filter((name) => name !== "epoch");
  if (!names.length) return null;
  const box = el("div", { class: "pair" });
  const draw = (name) => {
    curveShown = name;
    const share = name.endsWith("accuracy");
    box.replaceChildren(...PHASES.map((phase) => [phase, runs(phase).filter(([, curve]) => curve[name])])
      .filter(([, found]) => found.length)
      .map(([phase, found]) => el("div", {}, el("h4", {}, phase), lineChart({
        series: found.map(([run, curve]) => ({ name: `seed ${run.seed}`, x: curve.epoch, y: curve[name] })),
        xName: "epoch", whole: true, yName: share ? `${words(name)} (%)` : words(name), scaleY: share ? 100 : 1,
        label: `${words(name)} by epoch of the ${phase} phase, a line a seed`,
      }))));
  };
  const start = names.includes(curveShown) ? curveShown : TELLING.find((name) => names.includes(name)) ?? names[0];
  const section = el("div", {}, el("h3", {}, "Training"),
    choice("Curve", names.map((name) => [name, words(name)]), start, draw), box);
  draw(start);
  return section;
}

function proofSection(card) {
  const proven = card.runs.filter((run) => run.certificate);
  if (!proven.length) return null;
  const row = (run) => {
    const { solver, status, objective, bound, gap, fallback } = run.certificate;
    const why = fallback ? ` (${fallback})` : "";
    return [String(run.seed), `${solver}${why}`, words(status ?? ABSENT), plain(objective), plain(bound),
      gap === null ? ABSENT : `${(100 * gap).toFixed(2)} %`];
  };
  const box = el("div");
  const draw = (seed) => {
    const proof = data.proofs[proven.find((run) => String(run.seed) === seed).keys.select];
    box.replaceChildren(...(proof ? [proofChart(proof, seed)] : []));
  };
  const section = el("div", {}, el("h3", {}, "Certificate of the selection"),
    plainTable("Selection by seed", ["seed", "solver", "status", "objective", "bound", "gap"], proven.map(row)),
    choice("Seed", proven.map((run) => [String(run.seed), String(run.seed)]), String(proven[0].seed), draw), box);
  draw(String(proven[0].seed));
  return section;
}

function proofChart(proof, seed) {
  const series = ["bound", "objective"].filter((name) => proof[name])
    .map((name) => ({ name, x: proof.elapsed, y: proof[name], stepped: true }));
  return lineChart({
    series, xName: "seconds", yName: "objective", log: true,
    label: `Objective and bound of the selection of seed ${seed} over seconds`,
  });
}

function pictureSection(card) {
  const run = card.runs.find((one) => data.pictures[one.keys.evaluate]);
  if (!run) return null;
  const { source, width, height, text } = data.pictures[run.keys.evaluate];
  const enlarge = () => {
    const large = byId("large");
    large.replaceChildren(
      el("form", { method: "dialog" }, el("button", {}, "Close")),
      el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Picture" },
        el("img", { src: source, width, height, alt: text })),
    );
    large.showModal();
  };
  return el("div", {}, el("h3", {}, "Explained images"),
    el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Explained images" },
      button(el("img", { src: source, width, height, alt: text }), enlarge,
        { class: "picture", "aria-label": `Enlarge: ${text}` })),
    el("p", { class: "note" }, `Seed ${run.seed}. Scroll for more features, click to see it alone. `, text));
}

function runSection(card) {
  const stages = Object.keys(data.cost);
  const cell = (run, stage) => {
    if (run.seconds[stage] === undefined) return ABSENT;
    return run.reused.includes(stage) ? "reused" : duration(run.seconds[stage]);
  };
  const failed = card.runs.filter((run) => run.error);
  const last = card.runs[card.runs.length - 1];
  const versions = Object.entries(last.versions).map((pair) => pair.join(" ")).join(", ");
  return el("details", {}, el("summary", {}, "Runs and provenance"),
    plainTable("Seconds by stage", ["seed", ...stages.map(words)],
      card.runs.map((run) => [String(run.seed), ...stages.map((stage) => cell(run, stage))])),
    failed.map((run) => el("p", { class: "error" }, `Seed ${run.seed} failed: ${run.error}`)),
    el("p", { class: "note" }, [last.code, last.device, versions].filter(Boolean).join("; ")));
}
