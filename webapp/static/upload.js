// Sends a feed in parts, so that its size does not matter and a lost part is sent again.

const form = document.getElementById("upload");

if (form) {
  const $ = (id) => document.getElementById(id);
  const input = form.elements.feed;
  const drop = $("drop");
  const token = document.querySelector('meta[name="csrf-token"]').content;
  const headers = { "X-Requested-With": "fetch", "X-CSRFToken": token };

  const post = async (address, body) => {
    const answer = await fetch(address, { method: "POST", body, headers });
    if (answer.ok) return answer.json();
    const text = new DOMParser().parseFromString(await answer.text(), "text/html").body.textContent.trim();
    throw Object.assign(new Error(text), { final: answer.status < 500 });
  };

  const sendPart = async (address, file, offset, size) => {
    for (let attempt = 0; ; attempt++)
      try {
        return (await post(`${address}?offset=${offset}`, file.slice(offset, offset + size))).size;
      } catch (error) {
        if (error.final || attempt === 4) throw error;
        await new Promise((go) => setTimeout(go, 1000 * 2 ** attempt));
      }
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const [file] = input.files;
    const button = form.querySelector(".actions button");
    const bar = form.querySelector("progress");
    button.disabled = true;
    $("failed").hidden = true;
    $("sending").hidden = false;
    bar.value = 0;
    const tell = (done) => {
      bar.value = file.size ? done / file.size : 1;
      const mb = (bytes) => (bytes / 2 ** 20).toFixed(1);
      $("sent").textContent = form.dataset.sent.replace("{done}", mb(done)).replace("{all}", mb(file.size));
    };
    try {
      const name = new FormData();
      name.set("name", file.name);
      const { token: place, part } = await post(form.dataset.begin, name);
      const address = `${form.dataset.begin}/${place}`;
      let offset = 0;
      while (offset < file.size) {
        tell(offset);
        offset = await sendPart(address, file, offset, part);
      }
      tell(file.size);
      const data = new FormData(form);
      data.delete("feed");
      data.set("name", file.name);
      location.href = (await post(`${address}/end`, data)).address;
    } catch (error) {
      $("failed").textContent = error.final ? error.message : form.dataset.failed;
      $("failed").hidden = false;
      $("sending").hidden = true;
      button.disabled = false;
    }
  });

  for (const name of ["dragover", "dragleave", "drop"])
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
      if (name === "drop" && event.dataTransfer.files.length) input.files = event.dataTransfer.files;
    });
}
