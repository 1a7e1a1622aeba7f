// Conveniences only: the pages work without this file. Theme, copy buttons, suggestions, states of submissions.
"use strict";
(() => {
  const root = document.documentElement;
  const THEMES = ["auto", "light", "dark"];
  const stored = () => {
    try { return localStorage.getItem("theme"); } catch { return null; }
  };
  const apply = (theme) => {
    if (theme === "auto") root.removeAttribute("data-theme"); else root.dataset.theme = theme;
    for (const source of document.querySelectorAll("source[data-theme]")) {
      source.dataset.media ??= source.media;
      source.media = theme === "auto" ? source.dataset.media : forced(source, theme);
    }
  };
  // With a theme of its own, the page shows that one's charts whatever the system prefers.
  const forced = (source, theme) => {
    if (source.dataset.theme !== theme) return "not all";
    return "narrow" in source.dataset ? "(max-width: 34rem)" : "all";
  };
  let theme = THEMES.includes(stored()) ? stored() : "auto";
  apply(theme);

  const themes = () => {
    const button = document.getElementById("theme");
    const show = () => { button.textContent = `Theme: ${theme}`; };
    button.hidden = false;
    show();
    apply(theme);
    button.addEventListener("click", () => {
      theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
      try { localStorage.setItem("theme", theme); } catch { /* not kept, then */ }
      apply(theme);
      show();
    });
  };

  const copying = () => {
    for (const button of document.querySelectorAll("button[data-copy]")) {
      button.hidden = false;
      button.addEventListener("click", async () => {
        const from = document.getElementById(button.dataset.copy);
        button.textContent = await copied(from) ? "Copied" : "Press Ctrl+C";
        setTimeout(() => { button.textContent = "Copy"; }, 2000);
      });
    }
  };
  // Where the clipboard is out of reach (plain http), the text is selected.
  const copied = async (from) => {
    try {
      await navigator.clipboard.writeText(from.textContent);
      return true;
    } catch {
      getSelection().selectAllChildren(from);
      return false;
    }
  };

  const suggesting = () => {
    const input = document.querySelector("input[list=suggestions]");
    const list = document.getElementById("suggestions");
    if (!input || !list || list.options.length) return;
    let waiting = 0;
    input.addEventListener("input", () => {
      clearTimeout(waiting);
      if (input.value.length > 1) waiting = setTimeout(() => suggest(input, list), 150);
    });
  };
  const suggest = async (input, list) => {
    const asked = input.value;
    try {
      const answer = await fetch(`/v1/models?limit=10&query=${encodeURIComponent(asked)}`);
      if (!answer.ok || input.value !== asked) return;
      const { models } = await answer.json();
      list.replaceChildren(...models.map(({ id }) => Object.assign(document.createElement("option"), { value: id })));
    } catch { /* no suggestions, then */ }
  };

  // A submission that waits is asked after; when it has come to another state, the page is read again.
  const following = () => {
    const state = document.querySelector("[data-live]");
    if (!state) return;
    const look = async () => {
      try {
        const answer = await fetch(state.dataset.live, { cache: "no-store" });
        if (answer.ok && (await answer.json()).states.length !== Number(state.dataset.steps)) return location.reload();
      } catch { /* asked again, then */ }
      setTimeout(look, document.hidden ? 30000 : 2000);
    };
    setTimeout(look, 2000);
  };

  const opening = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target instanceof HTMLDetailsElement) target.open = true;
  };

  document.addEventListener("DOMContentLoaded", () => { themes(); copying(); suggesting(); following(); opening(); });
  addEventListener("hashchange", opening);
})();
