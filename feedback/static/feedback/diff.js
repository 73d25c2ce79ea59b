// Marks the words that differ between two texts.

const MOST = 1600; // words a side; longer texts are compared by line

function pieces(text) {
  const words = text.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) || [];
  return words.length <= MOST ? words : text.match(/[^\n]*\n|[^\n]+/g) || [];
}

/** For both texts, a list of [piece, differs]. Longest common subsequence, equal ends cut off first. */
export function compare(left, right) {
  const a = pieces(left);
  const b = pieces(right);
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
  const kept = common(a.slice(start, a.length - end), b.slice(start, b.length - end));
  const marked = (list, keeps) =>
    list.map((piece, i) => [piece, i >= start && i < list.length - end && !keeps.has(i - start) && piece.trim() !== ""]);
  return [marked(a, kept[0]), marked(b, kept[1])];
}

function common(a, b) {
  const width = b.length + 1;
  const length = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      const at = i * width + j;
      length[at] = a[i] === b[j] ? length[at + width + 1] + 1 : Math.max(length[at + width], length[at + 1]);
    }
  }
  const kept = [new Set(), new Set()];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    if (a[i] === b[j]) {
      kept[0].add(i++);
      kept[1].add(j++);
    } else if (length[(i + 1) * width + j] >= length[i * width + j + 1]) i += 1;
    else j += 1;
  }
  return kept;
}

/** Fill `element` with pieces; neighbours that differ share one <mark>. */
export function fill(element, marked) {
  element.replaceChildren();
  let mark = null;
  for (const [place, [piece, differs]] of marked.entries()) {
    const bridge = mark && !piece.trim() && marked[place + 1]?.[1];
    if (differs || bridge) {
      mark ??= element.appendChild(document.createElement("mark"));
      mark.append(piece);
    } else {
      mark = null;
      element.append(piece);
    }
  }
}
