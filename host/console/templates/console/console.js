"use strict";
(() => {
  // Every page works without this script. It keeps the page up to date and adds keyboard shortcuts.
  const byId = (id) => document.getElementById(id);
  const isField = (element) => element.closest("input:not([type=checkbox]), textarea, select, [contenteditable]");

  // Replaces the live parts with those of a fresh copy of the page. Open details, selections and the focus are kept.
  const swap = (next, isWhole) => {
    for (const part of document.querySelectorAll("[data-live]")) {
      const then = next.getElementById(part.id);
      if (!then || part.innerHTML === then.innerHTML) continue;
      if (document.activeElement && part.contains(document.activeElement) && isField(document.activeElement)) continue;
      const focused = part.contains(document.activeElement) ? describe(part, document.activeElement) : null;
      const open = [...part.querySelectorAll("details")].map((details) => details.open);
      const selected = new Set([...part.querySelectorAll("input:checked")].map((box) => box.value));
      const current = part.querySelector(".current");
      part.replaceChildren(...then.childNodes);
      part.querySelectorAll("details").forEach((details, index) => { details.open = open[index] ?? false; });
      for (const box of part.querySelectorAll("input[type=checkbox]")) box.checked = selected.has(box.value);
      if (current && current.id) byId(current.id)?.classList.add("current");
      if (focused) find(part, focused)?.focus({ preventScroll: true });
    }
    if (isWhole) document.title = next.title;
    decorate();
  };
  // Describes an element, so that it can be found again: by its link, its value or its position.
  const describe = (root, element) => ({
    href: element.getAttribute("href"), value: element.value, tag: element.tagName,
    index: [...root.querySelectorAll("a, button, input, summary")].indexOf(element),
  });
  const find = (root, { href, value, tag, index }) => {
    const all = [...root.querySelectorAll("a, button, input, summary")];
    return all.find((it) => href && it.getAttribute("href") === href) ??
      all.find((it) => it.tagName === tag && value && it.value === value) ?? all[index];
  };

  let isLoading = false, isStale = false;
  const refresh = async () => {
    if (!document.querySelector("[data-live]")) return;
    if (isLoading) { isStale = true; return; }
    isLoading = true;
    try {
      const response = await fetch(location.href, { headers: { accept: "text/html" }, redirect: "manual" });
      if (response.type === "opaqueredirect") { location.reload(); return; }
      // An error page has the health of the host too.
      const isPage = (response.headers.get("content-type") ?? "").startsWith("text/html");
      if (isPage) swap(new DOMParser().parseFromString(await response.text(), "text/html"), response.ok);
      byId("unreachable").hidden = isPage;
    } catch {
      byId("unreachable").hidden = false;
    }
    isLoading = false;
    if (isStale) { isStale = false; refresh(); }
  };
  let events;
  const listen = () => {
    events?.close();
    events = new EventSource("/events");
    events.addEventListener("changed", refresh);
    events.onopen = () => { if (!byId("unreachable").hidden) refresh(); };
    events.onerror = () => {
      byId("unreachable").hidden = false;
      // Browsers do not reconnect after an error response.
      if (events.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
    };
  };
  if (document.querySelector("[data-live]")) {
    listen();
    // Updates the ages.
    setInterval(refresh, 30000);
    addEventListener("pagehide", () => events.close());
    addEventListener("pageshow", (event) => { if (event.persisted) listen(); });
  }

  // Times in the browser's zone.
  const two = (number) => String(number).padStart(2, "0");
  const dayOf = (at) => `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  const minuteOf = (at) => `${two(at.getHours())}:${two(at.getMinutes())}`;
  const offsetOf = (at) => {
    const east = -at.getTimezoneOffset(), zone = Math.abs(east);
    return `${east < 0 ? "-" : "+"}${two(Math.floor(zone / 60))}:${two(zone % 60)}`;
  };
  const localize = () => {
    for (const time of document.querySelectorAll("time[data-local]")) {
      const at = new Date(time.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      time.textContent = `${dayOf(at)} ${minuteOf(at)}:${two(at.getSeconds())} ${offsetOf(at)}`;
    }
  };
  // A time that is entered is of the browser's zone, and the page says so.
  const until = byId("until");
  const zoned = () => {
    const now = new Date(), at = until.value ? new Date(until.value) : now;
    const [name, latest] = [Intl.DateTimeFormat().resolvedOptions().timeZone, new Date(now.getTime() + 86400000)];
    until.form.elements.offset.value = String(-at.getTimezoneOffset());
    until.form.querySelector("[data-zone]").textContent = `${name} (${offsetOf(at)})`;
    [until.min, until.max] = [now, latest].map((limit) => `${dayOf(limit)}T${minuteOf(limit)}`);
  };
  if (until) {
    zoned();
    until.addEventListener("input", zoned);
  }
  // What is not ticked is not acted on: without a ticked dead letter, there is nothing to do.
  const count = () => {
    const form = byId("selection");
    if (!form) return;
    const boxes = [...form.querySelectorAll("input[name=ids]")], ticked = boxes.filter((box) => box.checked).length;
    for (const button of form.querySelectorAll("button[formaction]")) button.disabled = ticked === 0;
    form.querySelector("[data-ticked]").textContent = String(ticked);
    const all = form.querySelector("[data-tick-all]");
    all.hidden = false;
    all.checked = ticked > 0 && ticked === boxes.length;
    all.indeterminate = ticked > 0 && ticked < boxes.length;
  };
  const decorate = () => { localize(); count(); };
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-tick-all]")) {
      for (const box of document.querySelectorAll("#selection input[name=ids]")) box.checked = event.target.checked;
    }
    count();
  });
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const text = button.dataset.copy;
    try { await navigator.clipboard.writeText(text); } catch { getSelection().selectAllChildren(button); return; }
    button.textContent = button.dataset.copied;
    setTimeout(() => { button.textContent = text; }, 1000);
  });
  decorate();
  addEventListener("pageshow", count);

  // On a small screen the navigation is one line.
  const here = document.querySelector("nav a[aria-current]"), nav = here?.parentElement;
  if (nav) nav.scrollLeft = here.offsetLeft - (nav.clientWidth - here.offsetWidth) / 2;

  const rows = () => [...document.querySelectorAll("tr[data-row]")];
  const step = (by) => {
    const all = rows();
    if (!all.length) return;
    const now = all.findIndex((row) => row.classList.contains("current"));
    const to = all[Math.max(0, Math.min(all.length - 1, now < 0 ? 0 : now + by))];
    all.forEach((row) => row.classList.toggle("current", row === to));
    const link = to.querySelector("a.open") ?? to.querySelector("a");
    (link ?? to).focus();
    to.scrollIntoView({ block: "nearest" });
  };
  const shortcuts = byId("shortcuts"), show = byId("show-shortcuts");
  show.hidden = false;
  show.onclick = () => shortcuts.showModal();
  let prefix = "";
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || shortcuts.open) return;
    if (isField(event.target)) { if (event.key === "Escape") event.target.blur(); return; }
    const before = prefix;
    prefix = "";
    if (before === "g") {
      const link = document.querySelector(`nav a[data-key="${CSS.escape(event.key)}"]`);
      if (link) { event.preventDefault(); location.assign(link.href); }
      return;
    }
    switch (event.key) {
      case "g": prefix = "g"; break;
      case "/": event.preventDefault(); byId("search").focus(); break;
      case "j": step(1); break;
      case "k": step(-1); break;
      case "?": shortcuts.showModal(); break;
    }
  });
})();
