// Follows a job: by server-sent events, or by asking where those are not to be had.

const box = document.querySelector(".following");

function show(job) {
  box.querySelector(".text").textContent = job.text;
  const bar = box.querySelector("progress");
  if (job.total) {
    bar.max = job.total;
    bar.value = job.done;
  } else bar.removeAttribute("value");
  if (job.over) location.reload();
}

async function ask() {
  try {
    const answer = await fetch(box.dataset.state, { headers: { "X-Requested-With": "fetch" } });
    if (answer.ok) show(await answer.json());
    else if (answer.status === 401) return location.reload();
  } catch { /* the server is starting again, perhaps */ }
  setTimeout(ask, 2000);
}

if (box && !("over" in box.dataset)) {
  const events = new EventSource(box.dataset.events);
  events.onmessage = ({ data }) => {
    const job = JSON.parse(data);
    if (job.over) events.close();
    show(job);
  };
  events.onerror = () => {
    if (events.readyState === EventSource.CLOSED) ask(); // no place for another stream
  };
}
