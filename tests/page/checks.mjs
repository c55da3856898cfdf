// What is true of every page for everybody, evaluated in the page itself. Each returns what is wrong, in words.

/// Names for those who cannot see, structure for those who jump.
export const names = () => {
  const wrong = [];
  const named = (it) =>
    it.getAttribute("aria-label") ||
    (it.getAttribute("aria-labelledby") ?? "").split(" ").filter(Boolean).map((id) => document.getElementById(id)?.textContent).join("") ||
    it.labels?.[0]?.textContent || it.textContent.trim();
  for (const it of document.querySelectorAll("a, button, input, textarea, summary, nav, svg[role=img], [role=region]")) {
    if (!named(it)) wrong.push(`no name: ${it.outerHTML.slice(0, 120)}`);
  }
  for (const it of document.querySelectorAll("table:not(.doc table)")) if (!it.caption?.textContent) wrong.push("a table without a caption");
  for (const it of document.querySelectorAll("th:not(.doc th)")) if (!it.scope) wrong.push("a heading of a table without a scope");
  if (document.querySelectorAll("h1").length !== 1) wrong.push("not one h1");
  let level = 0;
  for (const it of document.querySelectorAll("h1, h2, h3, h4")) {
    const next = Number(it.tagName[1]);
    if (next > level + 1) wrong.push(`${it.textContent}: h${next} after h${level}`);
    level = next;
  }
  if (!document.documentElement.lang || !document.title) wrong.push("no language or title");
  if (document.querySelectorAll("main").length !== 1) wrong.push("not one main");
  const ids = [...document.querySelectorAll("[id]")].map((it) => it.id);
  if (new Set(ids).size !== ids.length) wrong.push("an id twice");
  return wrong;
};

/// Text is told from what is behind it: 4.5 to 1, 3 to 1 where it is large (WCAG 2.2, 1.4.3).
export const contrast = () => {
  const colour = (text) => {
    const numbers = text.match(/[\d.]+/g).map(Number);
    return { rgb: numbers.slice(0, 3), alpha: numbers[3] ?? 1 };
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((it) => it / 255).map((it) => (it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (it) => {
    for (let at = it; at; at = at.parentElement) {
      if (at instanceof SVGElement) continue;
      const { rgb, alpha } = colour(getComputedStyle(at).backgroundColor);
      if (alpha === 1) return rgb;
    }
    return [255, 255, 255];
  };
  const wrong = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const it = texts.currentNode.parentElement;
    const box = it.getBoundingClientRect();
    if (!texts.currentNode.data.trim() || box.width < 2 || it.closest("title, desc, script, .number")) continue;
    const style = getComputedStyle(it);
    const svg = it instanceof SVGElement;
    const front = luminance(colour(svg ? style.fill : style.color).rgb);
    const back = luminance(behind(it));
    const ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) wrong.add(`${ratio.toFixed(2)}: ${it.className.baseVal ?? it.className} ${texts.currentNode.data.trim().slice(0, 30)}`);
  }
  return [...wrong];
};

/// Nothing makes the page wider than the screen, and no text is wider than what it is in.
export const overflow = () => {
  const wrong = [];
  const root = document.documentElement;
  if (root.scrollWidth > innerWidth) wrong.push(`the page is ${root.scrollWidth} wide`);
  for (const it of document.querySelectorAll("main *")) {
    if (it.closest(".scroll, pre, textarea, .vh, .doc table, thead, svg, details:not([open])")) continue;
    const box = it.getBoundingClientRect();
    if (box.right > innerWidth + 1 && box.width > 1) wrong.push(`beyond the edge: ${it.outerHTML.slice(0, 100)}`);
  }
  return wrong;
};

/// Fingers find what they want to touch: 24 by 24 (WCAG 2.2, 2.5.8), links within sentences aside.
export const targets = () => {
  const wrong = [];
  for (const it of document.querySelectorAll("button, input, summary, nav a, .actions a")) {
    const box = it.getBoundingClientRect();
    if (box.width > 0 && (box.height < 24 || box.width < 24)) wrong.push(`${box.width} x ${box.height}: ${it.textContent}`);
  }
  return wrong;
};
