
"use strict";
(() => {
  const INTERVAL = 1500;
  const byId = (id) => document.getElementById(id);

  // Everything below improves a page that already reads well without it.
  const dress = (root) => {
    for (const time of root.querySelectorAll("time")) {
      const at = new Date(time.dateTime);
      if (isNaN(at)) continue;
      time.title = time.dateTime;
      const today = at.toDateString() === new Date().toDateString();
      time.textContent = at.toLocaleString(document.documentElement.lang,
        today ? { timeStyle: "medium" } : { dateStyle: "medium", timeStyle: "medium" });
    }
    for (const button of root.querySelectorAll(".copy")) {
      button.hidden = !navigator.clipboard;
      button.onclick = async () => {
        const label = button.textContent;
        await navigator.clipboard.writeText(button.previousElementSibling.textContent);
        button.textContent = button.dataset.done;
        setTimeout(() => { button.textContent = label; }, 1500);
      };
    }
  };

  // New e-mails are added and old ones removed one by one, so that what is open, selected or
  // focused stays as it is.
  const merge = (next) => {
    const list = byId("mails");
    const wanted = new Set(Array.from(next.getElementById("mails").children, (mail) => mail.id));
    for (const mail of Array.from(list.children)) if (!wanted.has(mail.id)) mail.remove();
    const fresh = Array.from(next.getElementById("mails").children).filter((mail) => !byId(mail.id));
    for (const mail of fresh) mail.classList.add("fresh");
    list.prepend(...fresh);
    fresh.forEach(dress);
    const now = byId("try"), then = next.getElementById("try");
    if (now.tagName !== then.tagName) { now.replaceWith(then); dress(then); }
    const count = next.getElementById("count");
    if (byId("count").textContent !== count.textContent) byId("count").replaceChildren(...count.childNodes);
    byId("count").hidden = count.hidden;
    document.title = next.title;
  };

  let shown = null;
  const refresh = async () => {
    try {
      if (!document.hidden) {
        const answer = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-cache" });
        if (!answer.ok) throw new Error(answer.status);
        const tag = answer.headers.get("etag");
        const page = await answer.text();
        if (tag !== shown) merge(new DOMParser().parseFromString(page, "text/html"));
        shown = tag;
        byId("lost").hidden = true;
      }
    } catch {
      byId("lost").hidden = false;
    }
    setTimeout(refresh, INTERVAL);
  };

  byId("here").textContent = location.href;
  dress(document);
  setTimeout(refresh, INTERVAL);
})();
