// The little that the browser does by itself: send what was pressed inside a gr.HTML part to
// Python, keyboard shortcuts, theme and language, and staying at the end while an answer grows.
"use strict";

window.eco = (() => {
  const NEAR_END_PX = 160;
  const BUSY_MS = 8000; // what takes long: a training, a swap
  const PRESSED_MS = 2000; // what is drawn again at once
  const SERIAL_MS = 1500;
  const SETTLE_MS = 150;

  const read = (store, name) => {
    try { return store.getItem(name) || ""; } catch { return ""; }
  };
  const write = (store, name, value) => {
    try { store.setItem(name, value); } catch { /* private mode: it is forgotten on reload */ }
  };
  const isTyping = (target) =>
    target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
  const isVisible = (element) => element.getClientRects().length > 0;

  // ---- what was pressed, as plain data for Python
  const readForm = (form) => {
    const values = {};
    for (const [name, value] of new FormData(form)) {
      if (name in values) values[name] = [].concat(values[name], value);
      else values[name] = value;
    }
    return values;
  };
  const payload = (element) => {
    const form = element.tagName === "FORM" ? element : element.closest("form");
    return { ...element.dataset, form: form ? readForm(form) : {} };
  };

  const copyText = async (button) => {
    const text = button.dataset.copy;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = Object.assign(document.createElement("textarea"), { value: text });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    const label = button.querySelector(".eco-action-label") || button;
    const before = label.textContent;
    label.textContent = button.dataset.done;
    setTimeout(() => { label.textContent = before; }, 1500);
  };

  // The next picture from Python has no such mark, which takes it away again.
  const showBusy = (button) => {
    const busyMs = button.matches(".eco-button") ? BUSY_MS : PRESSED_MS;
    button.setAttribute("aria-busy", "true");
    setTimeout(() => button.removeAttribute("aria-busy"), busyMs);
  };
  const isBusy = (button) => button.getAttribute("aria-busy") === "true";
  // The second half of a double tap on what is pressed or not: it may meet the next picture.
  const isSecondTap = (button, event) => button.dataset.wanted !== undefined && event.detail > 1;

  // One decision after the other: a second press before the next row is there was meant for none.
  let sentAt = 0;
  const bind = (element, send) => {
    const isWaiting = () =>
      Date.now() - sentAt < SERIAL_MS && element.querySelector("[data-serial]") !== null;
    element.addEventListener("click", (event) => {
      const button = event.target.closest("[data-action],[data-copy]");
      if (!button || button.tagName === "FORM" || button.tagName === "SELECT") return;
      if (button.dataset.copy !== undefined) { copyText(button); return; }
      if (button.dataset.confirm && !window.confirm(button.dataset.confirm)) return;
      if (button.type === "submit" || button.tagName === "INPUT") return;
      event.preventDefault();
      if (isWaiting() || isBusy(button) || isSecondTap(button, event)) return;
      sentAt = Date.now();
      const isByKeyboard = event.detail === 0 && document.activeElement === button;
      pressed = isByKeyboard ? { element, id: button.id } : null;
      send(payload(button));
      showBusy(button);
      // What was agreed to goes with the rest; drawing the same HTML again would leave the ticks.
      if (button.dataset.action === "forget")
        element.querySelectorAll("input[data-kind]").forEach((box) => { box.checked = false; });
    });
    element.addEventListener("submit", (event) => {
      if (!event.target.dataset.action) return;
      event.preventDefault();
      if (event.submitter && isBusy(event.submitter)) return;
      send(payload(event.target));
      if (event.submitter) showBusy(event.submitter);
    });
    element.addEventListener("change", (event) => {
      const field = event.target.closest("select[data-action],input[data-action]");
      if (field) send({ ...payload(field), value: field.value, checked: field.checked });
    });
    new MutationObserver(() => { sentAt = 0; settle(element); }).observe(element, {
      childList: true, subtree: true, characterData: true,
    });
    settle(element);
  };

  // ---- after each change: local times, the open conversation, focus, the end of the page
  const lastFocus = new WeakMap(); // part → where the keyboard was put last
  // What has the keyboard keeps it when its part is drawn anew; where it is gone, the heading of
  // the part gets it. A press of the pointer ends that.
  let pressed = null;
  const keepFocus = (element) => {
    if (pressed?.element !== element) return;
    if (document.activeElement && document.activeElement !== document.body) return;
    const same = pressed.id && element.querySelector(`#${CSS.escape(pressed.id)}:not(:disabled)`);
    (same || element.querySelector("[data-focus-home]"))?.focus({ preventScroll: true });
  };
  document.addEventListener("pointerdown", () => { pressed = null; }, true);
  // Gradio gives each radio button a name of its own and its group none: as one group, the arrow
  // keys move within it and a screen reader says what it is for.
  const nameGroups = () => {
    for (const group of document.querySelectorAll("fieldset.eco-radio:not([aria-label])")) {
      const title = group.querySelector('[data-testid="block-info"]');
      if (!title) continue;
      group.setAttribute("aria-label", title.textContent.trim());
      for (const radio of group.querySelectorAll("input")) radio.name = group.id;
    }
  };
  // A question that was kept nowhere goes back into the box, unless something else is typed there.
  const restoreQuestion = (element) => {
    const unsaved = element.querySelector("[data-restore]");
    if (!unsaved) return;
    const box = document.querySelector(`#${unsaved.dataset.box || "chat-input"} textarea`);
    if (!box) return;
    const text = unsaved.dataset.restore;
    unsaved.removeAttribute("data-restore");
    if (box.value.trim()) return;
    box.value = text;
    box.dispatchEvent(new Event("input", { bubbles: true }));
    unsaved.querySelector(".eco-said")?.remove();
  };
  // Gradio's toasts have English titles whatever the language, and some sentences of its own.
  const words = window.ecoWords || {};
  const fill = (text, values) => text.replace(/{(\w+)}/g, (_, name) => values[name] || "");
  const GRADIO_SENTENCES = [
    [/^File\(s\) exceed the maximum allowed size of (.*?): (.*)$/,
      (found) => fill(words.toast_large_file, { limit: found[1], names: found[2] })],
    [/^Connection (?:to the server was lost|errored out)/, () => words.toast_lost],
    [/^(?:Queue is full|This application is currently busy)/, () => words.error_busy],
    [/^(?:An error occurred|Error|Unknown error|Unexpected error|Error uploading file)\.?$/,
      () => words.error_unexpected],
  ];
  const translateToast = (toast) => {
    const kind = ["info", "warning", "error"].find((name) => toast.classList.contains(name));
    const title = toast.querySelector(".toast-title");
    const label = title && [...title.childNodes].find((node) => node.nodeType === 3);
    const wanted = words[`toast_${kind}`];
    if (label && wanted && label.nodeValue.trim() !== wanted) label.nodeValue = `${wanted} `;
    toast.querySelector(".toast-close")?.setAttribute("aria-label", words.close);
    for (const message of toast.querySelectorAll(".toast-message-text")) {
      const said = message.textContent.trim();
      for (const [pattern, translate] of GRADIO_SENTENCES) {
        const found = said.match(pattern);
        if (found) { message.textContent = translate(found); break; }
      }
    }
  };
  const watchToasts = () => {
    for (const wrap of document.querySelectorAll(".toast-wrap:not([data-eco])")) {
      wrap.dataset.eco = "1";
      const translate = () => wrap.querySelectorAll(".toast-body").forEach(translateToast);
      new MutationObserver(translate).observe(wrap, { childList: true, subtree: true });
      translate();
    }
  };
  // Names that Gradio gives its own buttons, in English whatever the language.
  const GRADIO_NAMES = { "More tabs": "more_tabs", "Click to upload or drop files": "import_title" };
  const nameButtons = () => {
    for (const [english, key] of Object.entries(GRADIO_NAMES)) {
      for (const button of document.querySelectorAll(`button[aria-label="${english}"]`)) {
        if (words[key]) button.setAttribute("aria-label", words[key]);
      }
    }
  };
  // The kinds that the dialog of the system offers. Gradio's own filter would refuse all files of a
  // drop for one of another kind, and cover the box with an error.
  const offerKinds = () => {
    for (const kinds of document.querySelectorAll("[data-accept]:not([data-eco])")) {
      const box = document.getElementById(kinds.dataset.of);
      if (!box) continue;
      kinds.dataset.eco = "1";
      const offer = () => {
        for (const input of box.querySelectorAll("input[type=file]")) {
          if (input.accept !== kinds.dataset.accept) input.accept = kinds.dataset.accept;
        }
      };
      new MutationObserver(offer).observe(box, { childList: true, subtree: true }); // made anew
      offer();
    }
  };
  const settle = (element) => {
    nameGroups();
    nameButtons();
    offerKinds();
    watchToasts();
    restoreQuestion(element);
    const told = element.querySelector("[data-told]"); // said once, below all that was said before
    if (told) {
      told.removeAttribute("data-told");
      isFollowing = true;
      setTimeout(followEnd, SETTLE_MS);
    }
    for (const time of element.querySelectorAll("time[datetime]:not([data-local])")) {
      time.dataset.local = "1";
      const date = new Date(time.getAttribute("datetime"));
      if (!isNaN(date)) {
        time.textContent = date.toLocaleString(document.documentElement.lang, {
          month: "short", day: "numeric", hour: "2-digit", minute: "2-digit",
        });
      }
    }
    const talk = element.querySelector("[data-conversation]");
    if (talk) write(sessionStorage, "eco-conversation", talk.dataset.conversation);
    const wanted = element.querySelector("[data-autofocus]");
    const key = wanted ? wanted.dataset.autofocus : "";
    if (!wanted) lastFocus.delete(element);
    else if (key !== lastFocus.get(element)) {
      lastFocus.set(element, key);
      const field = wanted.matches("form") ? wanted.querySelector("textarea, input") : wanted;
      field.focus();
      pressed = { element, id: field.id };
    }
    showOpened(element);
    keepFocus(element);
    const isLive = element.querySelector("[data-follow]") !== null;
    if (isLive || wasLive.has(element)) followEnd();
    if (isLive) wasLive.add(element);
    else if (wasLive.delete(element)) setTimeout(followEnd, SETTLE_MS);
  };
  // What a button below an answer opens would lie behind the message box of a phone.
  const lastOpened = new WeakMap();
  const showOpened = (element) => {
    const panel = element.querySelector("#reason-panel, #edit-form");
    const key = panel ? panel.id + panel.dataset.turn : "";
    if (panel && key !== lastOpened.get(element)) panel.scrollIntoView({ block: "nearest" });
    lastOpened.set(element, key);
  };
  const wasLive = new WeakSet();
  let isFollowing = true;
  const distanceToEnd = () =>
    document.documentElement.scrollHeight - window.innerHeight - window.scrollY;
  const followEnd = () => {
    if (isFollowing) window.scrollTo({ top: document.documentElement.scrollHeight });
  };
  window.addEventListener("wheel", (event) => { if (event.deltaY < 0) isFollowing = false; },
    { passive: true });
  window.addEventListener("touchmove", () => { isFollowing = distanceToEnd() < NEAR_END_PX; },
    { passive: true });
  window.addEventListener("scroll", () => {
    if (distanceToEnd() < NEAR_END_PX / 4) isFollowing = true;
  }, { passive: true });

  // ---- theme and language
  const applyTheme = () => {
    const wanted = read(localStorage, "eco-theme");
    document.documentElement.dataset.theme = wanted;
    if (!document.body || !wanted) return;
    const isDark = wanted === "dark";
    if (document.body.classList.contains("dark") !== isDark) {
      document.body.classList.toggle("dark", isDark);
    }
  };
  const toggleTheme = () => {
    write(localStorage, "eco-theme", document.body.classList.contains("dark") ? "light" : "dark");
    applyTheme();
  };
  const setLang = (lang) => {
    document.cookie = `lang=${lang};path=/;max-age=31536000;samesite=lax`;
    location.reload();
  };
  document.addEventListener("DOMContentLoaded", () => {
    applyTheme();
    new MutationObserver(applyTheme).observe(document.body, {
      attributes: true, attributeFilter: ["class"],
    });
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-ui]");
    const side = document.querySelector("#chat-side");
    if (side && !event.target.closest("#chat-side") && !button) side.classList.remove("open");
    if (!button) return;
    if (button.dataset.ui === "theme") toggleTheme();
    if (button.dataset.ui === "lang") setLang(button.dataset.lang);
    if (button.dataset.ui === "side" && side) side.classList.toggle("open");
    if (button.dataset.ui === "chips") {
      const isOpen = button.dataset.chips !== "open";
      button.dataset.chips = isOpen ? "open" : "closed";
      button.setAttribute("aria-expanded", String(isOpen));
    }
  });

  // ---- keyboard
  // An Enter that ends a Hangul composition must not send the message.
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.isComposing || event.keyCode === 229)) {
      event.stopImmediatePropagation();
    }
  }, true);
  const press = (selector) => {
    const button = [...document.querySelectorAll(selector)].find(isVisible);
    if (button && !button.disabled) button.click();
    return Boolean(button);
  };
  const recallLast = (area) => {
    const said = document.querySelectorAll(".eco-said");
    if (!said.length) return;
    area.value = said[said.length - 1].dataset.said || "";
    area.dispatchEvent(new Event("input", { bubbles: true }));
  };
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") {
      if (!press("[data-escape]")) press("#chat-stop");
      return;
    }
    const target = event.target;
    if (event.key === "ArrowUp" && target.closest("#chat-input") && target.value === "") {
      recallLast(target);
      event.preventDefault();
      return;
    }
    if (isTyping(target) && !/^(radio|checkbox)$/.test(target.type)) return;
    if (/^[a-z1-9]$/.test(event.key) && press(`[data-key="${event.key}"]`)) event.preventDefault();
  });

  return { bind, lastConversation: () => read(sessionStorage, "eco-conversation") };
})();
