import assert from "node:assert/strict";
import { test } from "node:test";
import "./page.js";
import { compare, fill } from "../../../feedback/static/feedback/diff.js";

const marked = (pieces) => pieces.filter(([, differs]) => differs).map(([piece]) => piece.trim());
const whole = (pieces) => pieces.map(([piece]) => piece).join("");

test("equal texts have no difference", () => {
  const [left, right] = compare("The same words.", "The same words.");
  assert.deepEqual(marked(left), []);
  assert.deepEqual(marked(right), []);
});

test("a replaced word is marked on both sides, and nothing else", () => {
  const [left, right] = compare("Restart the router now.", "Restart the modem now.");
  assert.deepEqual(marked(left), ["router"]);
  assert.deepEqual(marked(right), ["modem"]);
});

test("an inserted word is marked on its side only", () => {
  const [left, right] = compare("Check the cable.", "Check the blue cable.");
  assert.deepEqual(marked(left), []);
  assert.deepEqual(marked(right), ["blue"]);
});

test("white space and punctuation come back as they were", () => {
  const texts = ["  Two\n\nlines,  “quoted”.\t", "It’s naïve: 3.5 %!"];
  const [left, right] = compare(...texts);
  assert.equal(whole(left), texts[0]);
  assert.equal(whole(right), texts[1]);
});

test("a difference in white space alone is none", () => {
  const [left, right] = compare("one  two", "one two");
  assert.deepEqual([...marked(left), ...marked(right)], []);
});

test("a lone equal word between long differences counts as different", () => {
  const [left] = compare("alpha beta gamma the delta epsilon zeta", "one two three the four five six");
  assert.ok(marked(left).includes("the"));
});

test("an empty text differs from every word of the other", () => {
  const [left, right] = compare("", "Hello there");
  assert.deepEqual(left, []);
  assert.deepEqual(marked(right), ["Hello", "there"]);
});

test("very long texts are compared by sentence", () => {
  const sentence = (n) => `This is sentence number ${n} of a long text. `;
  const text = Array.from({ length: 600 }, (_, n) => sentence(n)).join("");
  const other = text.replace("number 300 of", "number three hundred of");
  const [left] = compare(text, other);
  assert.deepEqual(marked(left), [sentence(300).trim()]);
  assert.equal(whole(left), text);
});

test("neighbors that differ share one mark, which ends before the space", () => {
  const element = document.createElement("p");
  fill(element, [
    ["Please ", false],
    ["restart ", true],
    ["it ", true],
    ["now", false],
  ]);
  assert.equal(element.innerHTML, "Please <mark>restart it</mark> now");
});

test("text that looks like markup stays text", () => {
  const element = document.createElement("p");
  fill(element, compare("<b>bold</b>", "plain")[0]);
  assert.equal(element.textContent, "<b>bold</b>");
  assert.equal(element.querySelector("b"), null);
});
