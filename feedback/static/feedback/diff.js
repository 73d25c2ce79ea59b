// Marks the words that differ between two texts.

const MOST = 16_000_000; // pairs of words that are compared with each other; longer texts are compared by sentence

const WORDS = /(?:[\p{L}\p{N}_]+(?:['’][\p{L}\p{N}_]+)*|[^\s\p{L}\p{N}_])\s*|^\s+/gu; // each with the space after it
const SENTENCES = /[^.!?\n]*(?:[.!?]+|\n+|$)\s*/gu;

const bare = (piece) => piece.trimEnd();

/** For both texts, a list of [piece, differs]. */
export function compare(left, right) {
  let [a, b] = [left.match(WORDS) || [], right.match(WORDS) || []];
  if (a.length * b.length > MOST) [a, b] = [left, right].map((text) => text.match(SENTENCES)?.filter(Boolean) || []);
  const differs = [new Uint8Array(a.length), new Uint8Array(b.length)];
  for (const [aFrom, aTo, bFrom, bTo] of gaps(a.map(bare), b.map(bare))) {
    differs[0].fill(1, aFrom, aTo);
    differs[1].fill(1, bFrom, bTo);
  }
  const told = (list, which) => list.map((piece, i) => [piece, which[i] === 1 && bare(piece) !== ""]);
  return [told(a, differs[0]), told(b, differs[1])];
}

/** [from, to) in the one and in the other where they differ: what the longest common subsequence leaves out. */
function gaps(a, b) {
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
  const found = [];
  let [i, j] = [start, start];
  for (const [atA, atB] of [...common(a, b, start, end), [a.length - end, b.length - end]]) {
    if (atA > i || atB > j) found.push([i, atA, j, atB]);
    [i, j] = [atA + 1, atB + 1];
  }
  return joined(found);
}

/** Places of the longest common subsequence, of what lies between equal beginnings and ends. */
function common(a, b, start, end) {
  const numbers = new Map();
  const coded = (list) =>
    Uint32Array.from(
      list.slice(start, list.length - end),
      (word) => numbers.get(word) ?? (numbers.set(word, numbers.size), numbers.size - 1),
    );
  const [one, other] = [coded(a), coded(b)];
  const width = other.length + 1;
  const length = new Uint16Array((one.length + 1) * width);
  for (let i = one.length - 1; i >= 0; i -= 1) {
    for (let j = other.length - 1, at = i * width + j; j >= 0; j -= 1, at -= 1) {
      const [down, right] = [length[at + width], length[at + 1]];
      length[at] = one[i] === other[j] ? length[at + width + 1] + 1 : down > right ? down : right;
    }
  }
  const places = [];
  for (let i = 0, j = 0; i < one.length && j < other.length;) {
    if (one[i] === other[j]) places.push([start + i++, start + j++]);
    else if (length[(i + 1) * width + j] >= length[i * width + j + 1]) i += 1;
    else j += 1;
  }
  return places;
}

/** A word or two that happen to be the same between longer stretches that differ only disturb: they count as different. */
function joined(found) {
  const whole = [];
  for (const gap of found) {
    const before = whole.at(-1);
    const size = (one) => Math.max(one[1] - one[0], one[3] - one[2]);
    const between = before ? gap[0] - before[1] : 0;
    if (before && between <= 2 && between * 2 <= Math.min(size(before), size(gap)))
      [before[1], before[3]] = [gap[1], gap[3]];
    else whole.push([...gap]);
  }
  return whole;
}

/** Fill `element` with pieces; neighbors that differ share one <mark>, which ends before the space that follows. */
export function fill(element, marked) {
  element.replaceChildren();
  let mark = null;
  marked.forEach(([piece, differs], place) => {
    if (!differs) return element.append(piece);
    mark = place > 0 && marked[place - 1][1] ? mark : element.appendChild(document.createElement("mark"));
    if (marked[place + 1]?.[1]) return mark.append(piece);
    mark.append(bare(piece));
    element.append(piece.slice(bare(piece).length));
  });
}
