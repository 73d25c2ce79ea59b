import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { announced, cardOf, press } from "./page.js";
import * as ranking from "../../../feedback/static/feedback/kinds/ranking.js";

let card;
beforeEach(() => {
  card = cardOf("ranking");
  ranking.start(card);
});

const order = () => ranking.read(card).ranking;
const keys = (...names) => names.forEach((name) => ranking.key(card, press(name)));

test("numbers place responses, best first", () => {
  keys("2", "1", "4", "3");
  assert.deepEqual(order(), [["b"], ["a"], ["d"], ["c"]]);
  assert.deepEqual(ranking.answer(card).answer, { ranking: [["b"], ["a"], ["d"], ["c"]], reason: "" });
});

test("an incomplete ranking names what is missing", () => {
  keys("2");
  assert.match(ranking.answer(card).wrong, /Missing: A, C, D\./);
  assert.equal(ranking.answer(card).answer, undefined);
});

test("= ties the picked response with the place above, and parts it again", () => {
  keys("1", "2", "=");
  assert.deepEqual(order(), [["a", "b"]]);
  assert.match(announced(), /A and B tie as 1st of 1/);
  keys("=");
  assert.deepEqual(order(), [["a"], ["b"]]);
});

test("arrows move the picked response one place", () => {
  keys("1", "2", "3", "ArrowLeft");
  assert.deepEqual(order(), [["a"], ["c"], ["b"]]);
  keys("ArrowRight");
  assert.deepEqual(order(), [["a"], ["b"], ["c"]]);
});

test("the first place does not move further up", () => {
  keys("1", "ArrowLeft");
  assert.deepEqual(order(), [["a"]]);
});

test("moving out of a tie parts it before it passes a neighbor", () => {
  keys("1", "2", "=", "ArrowRight");
  assert.deepEqual(order(), [["a"], ["b"]]);
});

test("Backspace takes the picked response out", () => {
  keys("1", "2", "Backspace");
  assert.deepEqual(order(), [["a"]]);
});

test("a number without a response changes nothing", () => {
  keys("1", "9");
  assert.deepEqual(order(), [["a"]]);
});

test("a draft comes back as it was, less letters that the card lacks", () => {
  ranking.fill(card, { ranking: [["c"], ["a", "z"], ["y"]] });
  assert.deepEqual(order(), [["c"], ["a"]]);
});

test("what is read is a copy: changing it does not change the card", () => {
  keys("1");
  order()[0].push("b");
  assert.deepEqual(order(), [["a"]]);
});
