"use strict";
(() => {
  // Every page reads and works without this; here it is kept up to date, and driven by keys.
  const byId = (id) => document.getElementById(id);
  const typing = (element) => element.closest("input:not([type=checkbox]), textarea, select, [contenteditable]");

  // The parts that change are taken from a fresh copy of the same page. What is open, chosen or focused stays.
  const swap = (next) => {
    for (const part of document.querySelectorAll("[data-live]")) {
      const then = next.getElementById(part.id);
      if (!then || part.innerHTML === then.innerHTML) continue;
      if (document.activeElement && part.contains(document.activeElement) && typing(document.activeElement)) continue;
      const focused = part.contains(document.activeElement) ? path(part, document.activeElement) : null;
      const open = [...part.querySelectorAll("details")].map((details) => details.open);
      const chosen = new Set([...part.querySelectorAll("input:checked")].map((box) => box.value));
      const here = part.querySelector(".here");
      part.replaceChildren(...then.childNodes);
      part.querySelectorAll("details").forEach((details, place) => { details.open = open[place] ?? false; });
      for (const box of part.querySelectorAll("input[type=checkbox]")) box.checked = chosen.has(box.value);
      if (here && here.id) byId(here.id)?.classList.add("here");
      if (focused) find(part, focused)?.focus({ preventScroll: true });
    }
    document.title = next.title;
  };
  // Where an element is: by its address or its name where it has one.
  const path = (root, element) => ({
    href: element.getAttribute("href"), value: element.value, tag: element.tagName,
    place: [...root.querySelectorAll("a, button, input, summary")].indexOf(element),
  });
  const find = (root, { href, value, tag, place }) => {
    const all = [...root.querySelectorAll("a, button, input, summary")];
    return all.find((it) => href && it.getAttribute("href") === href) ??
      all.find((it) => it.tagName === tag && value && it.value === value) ?? all[place];
  };

  let asked = false, again = false;
  const refresh = async () => {
    if (!document.querySelector("[data-live]")) return;
    if (asked) { again = true; return; }
    asked = true;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" }, redirect: "manual" });
      if (answer.type === "opaqueredirect") { location.reload(); return; }
      if (answer.ok) swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
      byId("lost").hidden = answer.ok;
    } catch {
      byId("lost").hidden = false;
    }
    asked = false;
    if (again) { again = false; refresh(); }
  };
  let events;
  const listen = () => {
    events?.close();
    events = new EventSource("/events");
    events.addEventListener("changed", refresh);
    events.onopen = () => { if (!byId("lost").hidden) refresh(); };
    events.onerror = () => {
      byId("lost").hidden = false;
      // The browser gives up on what is answered with an error.
      if (events.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
    };
  };
  if (document.querySelector("[data-live]")) {
    listen();
    // "3 min ago" grows by itself.
    setInterval(refresh, 30000);
    addEventListener("pagehide", () => events.close());
    addEventListener("pageshow", (event) => { if (event.persisted) listen(); });
  }

  const rows = () => [...document.querySelectorAll("tr[data-row]")];
  const step = (by) => {
    const all = rows();
    if (!all.length) return;
    const now = all.findIndex((row) => row.classList.contains("here"));
    const to = all[Math.max(0, Math.min(all.length - 1, now < 0 ? 0 : now + by))];
    all.forEach((row) => row.classList.toggle("here", row === to));
    const link = to.querySelector("a.open") ?? to.querySelector("a");
    (link ?? to).focus();
    to.scrollIntoView({ block: "nearest" });
  };
  const keys = byId("keys"), show = byId("show-keys");
  show.hidden = false;
  show.onclick = () => keys.showModal();
  let after = "";
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || keys.open) return;
    if (typing(event.target)) { if (event.key === "Escape") event.target.blur(); return; }
    const before = after;
    after = "";
    if (before === "g") {
      const link = document.querySelector(`nav a[data-key="${CSS.escape(event.key)}"]`);
      if (link) { event.preventDefault(); location.assign(link.href); }
      return;
    }
    switch (event.key) {
      case "g": after = "g"; break;
      case "/": event.preventDefault(); byId("search").focus(); break;
      case "j": step(1); break;
      case "k": step(-1); break;
      case "?": keys.showModal(); break;
    }
  });
})();
