"""Find unreadable text on a page: overlapping, cut off or too small text in pictures, and squeezed headings."""

from pathlib import Path

from browser import Chrome

SMALLEST_PX = 8
FOUND = """(() => {
  const found = [];
  for (const heading of document.querySelectorAll("h2"))
    if (heading.getBoundingClientRect().height > 2.5 * parseFloat(getComputedStyle(heading).lineHeight))
      found.push(`${heading.textContent} is squeezed`);
  for (const svg of document.querySelectorAll("svg")) {
    const edge = svg.getBoundingClientRect();
    if (!edge.width) continue;
    const texts = [...svg.querySelectorAll("text")].map((text) => [text, text.getBoundingClientRect()])
      .filter(([text, box]) => box.width && text.textContent.trim());
    const scale = svg.viewBox.baseVal?.width ? edge.width / svg.viewBox.baseVal.width : 1;
    texts.forEach(([text, box], i) => {
      const told = text.textContent;
      if (Math.max(edge.left - box.left, box.right - edge.right, edge.top - box.top, box.bottom - edge.bottom) > 1)
        found.push(`${told} leaves its picture`);
      if (parseFloat(getComputedStyle(text).fontSize) * scale < SMALLEST) found.push(`${told} is too small`);
      for (const [other, next] of texts.slice(i + 1)) {
        const wide = Math.min(box.right, next.right) - Math.max(box.left, next.left);
        const high = Math.min(box.bottom, next.bottom) - Math.max(box.top, next.top);
        if (wide > 1 && high > 2) found.push(`${told} over ${other.textContent}`);
      }
    });
  }
  return found;
})()""".replace("SMALLEST", str(SMALLEST_PX))
SCREENS = (1280, 390)


def illegible(chrome: Chrome, page: Path) -> list[str]:
    """Return the unreadable texts of a *page*, on a wide and on a narrow screen."""
    found = []
    for width in SCREENS:
        with chrome.tab(page, width=width) as tab:
            found += [f"{width} px: {text}" for text in tab.value(FOUND)]
    return found
