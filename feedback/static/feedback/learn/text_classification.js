// A message filed under a label, and a mailbox filed by people and by the model.

import { bar, element, percent, settled } from "./parts.js";
import { prober } from "./probe.js";

const box = document.querySelector("[data-classify]");
if (box) begin();

const filedUnder = (scores, many) => {
  const names = Object.keys(scores).sort((one, other) => scores[other] - scores[one]);
  return many ? names.filter((name) => scores[name] >= 0.5) : names.slice(0, 1);
};
const words = (name) => name.replaceAll("_", " ");

function begin() {
  const text = box.querySelector("#text");
  const part = (name) => box.querySelector(`[data-${name}]`);
  const ask = prober(box.dataset.probes, (sentence) => (part("said").textContent = sentence));
  const askMail = prober(box.dataset.mailbox, (sentence) => (part("mail-said").textContent = sentence));

  async function show() {
    if (!text.value.trim()) return;
    const found = await ask({ text: text.value });
    if (!found) return;
    const filed = filedUnder(found.labels, found.many).map(words);
    part("filed").textContent = filed.length ? `Filed under: ${filed.join(", ")}` : "Filed under no label";
    const names = Object.keys(found.labels).sort((one, other) => found.labels[other] - found.labels[one]);
    part("bars").replaceChildren(
      ...names.map((name) => bar(words(name), found.labels[name], percent(found.labels[name], 1))),
    );
  }

  function letter(message, differs, confidence) {
    const shown = element("li", { class: `learn-letter${differs ? " is-different" : ""}` }, message.text);
    const about = [confidence, differs].filter(Boolean).join(" · ");
    if (about) shown.append(element("span", { class: "small quiet learn-letter-about", text: about }));
    return shown;
  }

  function open(label, found) {
    box
      .querySelectorAll(".learn-folder")
      .forEach((one) => one.setAttribute("aria-pressed", String(one.dataset.label === label)));
    const people = found.messages.filter((message) => message.people.includes(label));
    const model = found.messages.filter((message) => message.filed.includes(label));
    part("people").replaceChildren(
      ...people.map((message) =>
        letter(
          message,
          message.filed.includes(label) ? "" : `model: ${message.filed.map(words).join(", ") || "no label"}`,
          "",
        ),
      ),
    );
    part("model").replaceChildren(
      ...model.map((message) =>
        letter(
          message,
          message.people.includes(label) ? "" : `people: ${message.people.map(words).join(", ") || "no label"}`,
          percent(message.model[label]),
        ),
      ),
    );
    part("mail").hidden = false;
  }

  async function showMail() {
    const found = await askMail({});
    if (!found) return;
    if (!found.messages.length) {
      part("mail-said").textContent =
        "No message has its labels from people yet. Finished classification tasks appear here.";
      return;
    }
    let same = 0;
    for (const message of found.messages) {
      message.filed = filedUnder(message.model, found.many);
      if (
        message.filed.length === message.people.length &&
        message.filed.every((name) => message.people.includes(name))
      )
        same += 1;
    }
    part("mail-said").textContent = `${found.messages.length} messages; people and model agree on ${same}.`;
    const folders = found.labels.map((label) => {
      const count = found.messages.filter((message) => message.people.includes(label)).length;
      const folder = element("button", {
        type: "button",
        class: "button button-calm learn-folder",
        "aria-pressed": "false",
      });
      folder.textContent = `${words(label)} (${count})`;
      folder.dataset.label = label;
      folder.addEventListener("click", () => open(label, found));
      return folder;
    });
    part("folders").replaceChildren(...folders);
    open(found.labels[0], found);
  }

  text.addEventListener("input", settled(show));
  box.hidden = false;
  show().then(showMail);
}
