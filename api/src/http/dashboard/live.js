// Has a page look again when something has changed. Everything that it shows is made by the server, and works without this.
"use strict";
(() => {
  const main = document.getElementById("main");
  const status = document.getElementById("live");
  const say = (text) => { if (status.textContent !== text) status.textContent = text; };
  const PAUSE = 1000;
  let last = 0;
  let timer = null;
  let busy = false;
  let again = false;

  // Somebody types, or has chosen something: that part stays as it is.
  const inUse = (part) => {
    if (part.contains(document.activeElement) && document.activeElement.matches("input, textarea, select")) return true;
    for (const one of part.querySelectorAll("option")) if (one.selected !== one.defaultSelected && one.index > 0) return true;
    for (const field of part.querySelectorAll("input, textarea")) {
      if (field.type === "checkbox" ? field.checked !== field.defaultChecked
          : field.type !== "hidden" && field.value !== field.defaultValue) return true;
    }
    return false;
  };

  const look = async () => {
    timer = null;
    if (document.hidden) return;
    if (busy) { again = true; return; }
    busy = true;
    last = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" }, credentials: "same-origin" });
      if (!answer.ok) { say("Cannot look: status " + answer.status + ". Reload the page."); return; }
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of main.querySelectorAll("[data-part]")) {
        const now = page.getElementById(part.id);
        if (!now || inUse(part)) continue;
        // What was opened stays open, and who was at a link stays there.
        const opened = new Set([...part.querySelectorAll("details[open][id]")].map((one) => one.id));
        for (const one of now.querySelectorAll("details[id]")) if (opened.has(one.id)) one.open = true;
        if (now.outerHTML === part.outerHTML) continue;
        const at = document.activeElement && part.contains(document.activeElement)
          ? [...part.querySelectorAll("a, summary, button, [tabindex]")].indexOf(document.activeElement) : -1;
        const scrolled = [...part.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
        const fresh = document.adoptNode(now);
        part.replaceWith(fresh);
        fresh.querySelectorAll(".scroll").forEach((one, index) => { one.scrollLeft = scrolled[index] || 0; });
        if (at >= 0) fresh.querySelectorAll("a, summary, button, [tabindex]")[at]?.focus({ preventScroll: true });
      }
      document.title = page.title;
      say(over ? "Up to date: it has come to its end." : "Live.");
    } catch {
      say("The server cannot be reached; trying again.");
      if (!main.dataset.often) soon(5 * PAUSE);
    } finally {
      busy = false;
      if (again) { again = false; soon(0); }
    }
  };
  const soon = (wait) => {
    if (timer !== null) return;
    timer = setTimeout(look, Math.max(wait, last + PAUSE - Date.now()));
  };

  let over = false;
  let stream = null;
  const often = () => setInterval(() => soon(0), Number(main.dataset.often));
  // Not while nobody looks: a browser has few connections for all of its tabs.
  const listen = () => {
    if (!main.dataset.stream || over || stream || document.hidden) return;
    stream = new EventSource(main.dataset.stream);
    stream.onopen = () => say("Live.");
    for (const name of ["intent", "event", "page"]) stream.addEventListener(name, () => soon(0));
    stream.addEventListener("end", () => { over = true; soon(0); stream.close(); });
    stream.onerror = () => {
      if (stream.readyState !== EventSource.CLOSED || over || main.dataset.often) return;
      say("No live view; looking every few seconds.");
      main.dataset.often = "5000";
      often();
    };
  };
  listen();
  if (main.dataset.often) { say("Live."); often(); }
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) { listen(); soon(0); return; }
    if (stream && !main.dataset.often) { stream.close(); stream = null; }
  });
})();
