// What the pages can do beyond being read. Each page is whole without this: here the server's own pages are fetched again
// and parts of them are swapped, so that no text of a process becomes HTML in a browser.
"use strict";
(() => {
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const EVENTS = "/api/v1/events";

  // How long ago, beside each time.
  const ago = (seconds) => {
    if (seconds < 60) return "just now";
    for (const [unit, length] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
      if (seconds >= length) {
        const number = Math.floor(seconds / length);
        return `${number} ${unit}${number === 1 ? "" : "s"} ago`;
      }
    }
  };
  const date = () => {
    for (const time of all("time[datetime]:not([data-clock])")) {
      const then = Date.parse(time.dateTime);
      if (Number.isNaN(then)) continue;
      let span = time.nextElementSibling;
      if (!span || !span.classList.contains("ago")) {
        span = document.createElement("span");
        span.className = "ago";
        time.after(" ", span);
      }
      const text = ago((Date.now() - then) / 1000);
      if (span.textContent !== text) span.textContent = text;
    }
  };

  // Takes a part of a page from the server in place of the same part of this one.
  const swap = async (selector, address, signal) => {
    const answer = await fetch(address, { signal, headers: { Accept: "text/html" }, redirect: "error" });
    if (!answer.ok) throw new Error(`the agent answers ${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const [fresh, old] = [one(selector, page), one(selector)];
    if (!fresh || !old) throw new Error("the agent answers something else");
    const open = all("details", old).map((it) => it.open);
    old.replaceWith(document.adoptNode(fresh));
    all("details", fresh).forEach((it, at) => { it.open = open[at] ?? false; });
    date();
    return fresh;
  };

  const say = (text, href) => {
    const news = one("#news");
    const what = document.createElement(href ? "a" : "p");
    what.textContent = text;
    if (href) what.href = href;
    news.replaceChildren(what);
  };

  // Elements that only a script makes useful.
  const show = (root = document) => all(".script", root).forEach((it) => { it.hidden = false; });

  // `/` goes to the filter.
  document.addEventListener("keydown", (event) => {
    const target = event.target;
    const typing = target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
    const field = one("input[type=search]");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey && field) {
      event.preventDefault();
      field.focus();
      field.select();
    }
  });

  // The list: filtered while one types, new incidents as they happen.
  const query = one("#q");
  if (query) {
    let waiting, running;
    const address = () => {
      const parameters = new URLSearchParams(location.search);
      const text = query.value.trim();
      if (text !== (parameters.get("q") ?? "")) parameters.delete("before");
      text ? parameters.set("q", text) : parameters.delete("q");
      const search = parameters.toString();
      return search ? `/?${search}` : "/";
    };
    // What is here can be narrowed at once; the server knows the rest.
    const narrow = () => {
      const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of all("#incidents tbody tr")) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
      }
    };
    const load = async () => {
      running?.abort();
      running = new AbortController();
      const to = address();
      try {
        await swap("#incidents", to, running.signal);
        history.replaceState(null, "", to);
      } catch (error) {
        if (error.name !== "AbortError") say(`Not up to date: ${error.message}`);
      }
    };
    query.addEventListener("input", () => {
      narrow();
      clearTimeout(waiting);
      waiting = setTimeout(load, 250);
    });
    query.form.addEventListener("submit", (event) => {
      event.preventDefault();
      clearTimeout(waiting);
      load();
    });
    listen(async (id) => {
      if (new URLSearchParams(location.search).has("before")) return;
      await load();
      const row = id && one(`#incidents a.row[href="/incidents/${CSS.escape(id)}"]`);
      row?.closest("tr").classList.add("fresh");
    });
  } else {
    listen(() => {});
  }

  // New incidents, also in a storm: at most one look at the server in two seconds.
  function listen(then) {
    if (!("EventSource" in window)) return;
    let latest, timer, count = 0;
    let source;
    const heard = (event) => {
      count += 1;
      latest = event.lastEventId || latest;
      timer ??= setTimeout(async () => {
        const [number, id] = [count, latest];
        [timer, count] = [undefined, 0];
        const here = id && location.pathname.endsWith(id);
        await then(id);
        const href = id ? `/incidents/${encodeURIComponent(id)}` : "/";
        if (!here) say(number === 1 ? "A new OOM incident: show it" : `${number} new OOM incidents: show the last`, href);
      }, 2000 * Math.min(1, count - 1) + 100);
    };
    const connect = () => {
      source = new EventSource(EVENTS);
      source.addEventListener("incident", heard);
      // A lost connection comes back by itself; a refusal does not: there is room for so many listeners only.
      source.addEventListener("error", () => {
        if (source.readyState === EventSource.CLOSED) setTimeout(() => { then(); connect(); }, 30000);
      });
    };
    connect();
    addEventListener("pagehide", () => source.close());
  }

  // Who is next, again and again, while somebody looks.
  const rank = one("#rank[data-live]");
  if (rank) {
    const seconds = Number(rank.dataset.live);
    let paused = false, busy = false;
    const button = () => {
      show();
      const pause = one("[data-pause]");
      if (!pause) return;
      pause.setAttribute("aria-pressed", String(paused));
      pause.onclick = () => { paused = !paused; pause.setAttribute("aria-pressed", String(paused)); };
    };
    button();
    setInterval(async () => {
      const here = one("#rank");
      const held = here.contains(document.activeElement) || String(getSelection());
      if (paused || busy || held || document.hidden) return;
      busy = true;
      try {
        await swap("#rank", location.href);
        one("#news").replaceChildren();
        button();
      } catch (error) {
        say(`Not up to date: ${error.message}`);
      }
      busy = false;
    }, seconds * 1000);
  }

  // Copies. Without https the clipboard's own interface is missing; selecting works everywhere.
  const copy = async (text, button) => {
    const label = button.textContent;
    try {
      if (navigator.clipboard) {
        await navigator.clipboard.writeText(text);
      } else {
        const field = document.createElement("textarea");
        field.value = text;
        document.body.append(field);
        field.select();
        const done = document.execCommand("copy");
        field.remove();
        button.focus();
        if (!done) throw new Error("refused");
      }
      button.textContent = "Copied";
    } catch {
      button.textContent = "Could not be copied";
    }
    setTimeout(() => { button.textContent = label; }, 2000);
  };
  const here = location.origin + location.pathname;
  const ticket = one("#ticket");
  if (ticket) ticket.value = `${ticket.value.trimEnd()}\n${here}\n`;
  for (const button of all("[data-copy]")) {
    button.addEventListener("click", () => copy(button.dataset.copy === "link" ? here : ticket.value, button));
  }

  show();
  date();
  setInterval(date, 30000);
})();
