// Keeps the parts of a page up to date that say so. Without it the page is whole, and as old as it says.
"use strict";

(() => {
  // How long after an answer the next question comes, and at most after failures, in milliseconds.
  const PAUSE = 2000;
  const PAUSE_MAX = 30000;

  const button = document.getElementById("live");
  const status = document.getElementById("live-status");
  let pause = PAUSE;
  let timer;

  const isOn = () => button.getAttribute("aria-pressed") === "true";

  // Only when it changes: it is read aloud.
  const say = (text) => {
    if (status.textContent !== text) status.textContent = text;
  };

  const parts = (page) => new Map([...page.querySelectorAll("[data-live]")].map((part) => [part.dataset.live, part]));

  // Where the focus is within a part, so that it is there again in the new one.
  const focusIn = (part) => {
    const at = document.activeElement;
    if (!part.contains(at) || at === part) return null;
    const all = [...part.querySelectorAll("a, button, input, select, [tabindex]")];
    return { href: at.getAttribute("href"), place: all.indexOf(at) };
  };

  const focusAgain = (part, { href, place }) => {
    const all = [...part.querySelectorAll("a, button, input, select, [tabindex]")];
    const same = href && all.find((one) => one.getAttribute("href") === href);
    (same || all[place] || document.getElementById("main")).focus({ preventScroll: true });
  };

  const replace = (old, fresh) => {
    if (old.innerHTML === fresh.innerHTML) return;
    const focus = focusIn(old);
    const scrolled = [...old.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
    old.replaceChildren(...document.importNode(fresh, true).childNodes);
    old.querySelectorAll(".scroll").forEach((box, at) => { box.scrollLeft = scrolled[at] || 0; });
    if (focus) focusAgain(old, focus);
  };

  const update = (text) => {
    const page = new DOMParser().parseFromString(text, "text/html");
    const fresh = parts(page);
    // Whoever marks text is about to copy it.
    const marked = document.getSelection();
    for (const [name, old] of parts(document)) {
      const held = !marked.isCollapsed && marked.containsNode(old, true);
      if (fresh.has(name) && !held) replace(old, fresh.get(name));
    }
    const [was, is] = [document, page].map((each) => each.querySelector("footer"));
    if (was && is) replace(was, is);
  };

  const ask = async () => {
    if (!isOn() || document.hidden) return;
    try {
      const limit = AbortSignal.timeout(PAUSE_MAX);
      const answer = await fetch(location.href, { cache: "no-store", redirect: "manual", signal: limit });
      // A search that finds by now: its page is that of what was found.
      if (answer.type === "opaqueredirect") return location.reload();
      if (!answer.ok) throw new Error(answer.statusText);
      update(await answer.text());
      pause = PAUSE;
      say("");
    } catch {
      pause = Math.min(pause * 2, PAUSE_MAX);
      say("The gateway does not answer; what is shown is old.");
    }
    later();
  };

  const later = () => {
    clearTimeout(timer);
    if (isOn() && !document.hidden) timer = setTimeout(ask, pause);
  };

  button.addEventListener("click", () => {
    const on = !isOn();
    button.setAttribute("aria-pressed", String(on));
    say("");
    pause = PAUSE;
    if (on) ask();
  });

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) ask();
  });

  button.hidden = false;
  later();
})();
