"use strict";
// Keys for lists of regions. Everything also works as links and forms without this script.
const regions = () => [...document.querySelectorAll(".region")];
const current = () => document.activeElement.closest(".region") ?? regions().find(one => one.id === lastId);
const isAlone = document.querySelector(".regions[data-alone]") !== null; // its history is on the page too: that is loaded anew
const large = document.getElementById("large");
let lastId = null, isBusy = false, isPlain = false, undoId = null;

function say(text) { document.getElementById("said").textContent = text; }

function goTo(region) {
  if (!region) return;
  lastId = region.id;
  region.focus();
  region.scrollIntoView({block: "nearest"});
  if (large?.open) show(region);
}

function show(region) {
  lastId = region.id;
  const link = region.querySelector(".picture");
  large.querySelector("img").src = isPlain ? link.dataset.plain : link.href;
  large.querySelector("p").textContent = region.querySelector(".words").textContent;
  const details = region.querySelector("details"), reasons = [...details.querySelectorAll("[data-key]")];
  large.querySelector("small").textContent = details.open
    ? reasons.map(one => one.textContent.trim()).join(" · ") : `${region.dataset.state} · a approve · r reject · d defer`;
}

function move(step) {
  if (isAlone) return turn(document.getElementById(step > 0 ? "next" : "previous"), step);
  const all = regions(), here = current(), at = here ? all.indexOf(here) + step : 0;
  if (all[at]) return goTo(all[at]);
  const link = document.getElementById(step > 0 ? "next" : "previous");
  turn(link, step);
}

function turn(link, step) { // regions that left the list make the next page begin earlier
  if (!link) return say(step > 0 ? "This is the end of the list." : "This is the beginning of the list.");
  if (isAlone) return location.assign(link.href);
  const list = document.querySelector(".regions"), url = new URL(link.href);
  if (step > 0) url.searchParams.set("start", Number(list.dataset.start) + regions().filter(one => one.dataset.stays === "1").length);
  location.assign(url);
}

function count(changes) { // the numbers of the queues at the top
  for (const [name, by] of Object.entries(changes)) {
    const place = document.querySelector(`[data-queue="${CSS.escape(name)}"]`);
    if (!place) continue;
    place.dataset.number = Number(place.dataset.number) + by;
    place.textContent = Number(place.dataset.number).toLocaleString("en");
  }
}

async function send(form, button, moves) {
  if (isBusy) return;
  if (isAlone) return form.requestSubmit(button);
  isBusy = true;
  const region = form.closest(".region"), body = new URLSearchParams(new FormData(form, button));
  try {
    const answer = await fetch(form.action, {method: "POST", body, headers: {"X-Fragment": "1"}, redirect: "error"});
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const renewed = page.querySelector(".region");
    if (!renewed) {
      say(page.querySelector(".notice")?.textContent ?? `Not recorded: the server answered ${answer.status}.`);
      return;
    }
    region.replaceWith(renewed);
    undoId = renewed.id;
    count(JSON.parse(renewed.dataset.changes ?? "{}"));
    say(renewed.getAttribute("aria-label"));
    goTo(renewed);
    if (moves) move(1);
  } catch (error) {
    say("Not recorded: the server does not answer. Try again.");
  } finally {
    isBusy = false;
  }
}

function press(region, key, moves) {
  const button = region?.querySelector(`button[data-key="${key}"]`);
  if (button) send(button.form, button, moves);
}

document.addEventListener("submit", event => {
  if (isAlone || !event.target.closest(".region")) return;
  event.preventDefault();
  send(event.target, event.submitter, event.submitter.value !== "undo");
});

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.altKey || event.metaKey || !regions().length) return;
  const isTyping = event.target.matches("input, select, textarea");
  if (isTyping) { if (event.key === "Escape") goTo(current()); return; }
  if (event.target.matches("button, summary, a") && [" ", "Enter"].includes(event.key)) return;
  const region = current(), details = region?.querySelector("details");
  const undo = region?.querySelector('button[data-key="u"]') ? region : document.getElementById(undoId);
  const actions = {
    j: () => move(1), ArrowRight: () => move(1), ArrowDown: () => move(1),
    k: () => move(-1), ArrowLeft: () => move(-1), ArrowUp: () => move(-1),
    a: () => press(region, "a", true), d: () => press(region, "d", true), u: () => press(undo, "u", false),
    r: () => { if (details) { details.open = !details.open; goTo(region); } },
    c: () => { if (details) { details.open = true; details.querySelector("input[name=comment]").focus(); } },
    i: () => region?.querySelector('a[data-key="i"]')?.click(),
    o: () => region?.querySelector('a[data-key="o"]')?.click(),
    v: () => { isPlain = !isPlain; if (large.open) show(region); },
    " ": () => { if (large.open) large.close(); else if (region) { large.show(); show(region); } },
    Escape: () => { if (large.open) large.close(); else if (details) details.open = false; },
  };
  for (const digit of "12345") actions[digit] = () => { if (details?.open) press(region, digit, true); };
  if (actions[event.key]) { event.preventDefault(); actions[event.key](); }
});

goTo(document.querySelector(".regions[data-focus] .region"));
