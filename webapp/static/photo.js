// A photo on its way to the shop: made smaller where that saves time, and remembered by this tab.

const LONG_SIDE = 1600; // pixels; the shop looks at no more
const SMALL = 300_000; // bytes; not worth making smaller
const KEPT = 4; // photos that a tab remembers

// Return what to send for a file that was chosen, and whether this browser can show it.
export async function prepare(file) {
  let picture;
  try {
    picture = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return { blob: file, visible: false }; // HEIC in most browsers: the shop reads it
  }
  const scale = Math.min(1, LONG_SIDE / Math.max(picture.width, picture.height));
  if (file.size <= SMALL && scale === 1) return { blob: file, visible: true };
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(picture.width * scale));
  canvas.height = Math.max(1, Math.round(picture.height * scale));
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff"; // what is transparent is white, as in the shop
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
  const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
  return { blob: blob && blob.size < file.size ? blob : file, visible: true };
}

// Return the picture that an image element shows, turned clockwise by quarters, as a JPEG.
export async function turned(image, quarters) {
  await image.decode();
  const { naturalWidth: width, naturalHeight: height } = image;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = quarters % 2 ? [height, width] : [width, height];
  const pen = canvas.getContext("2d");
  pen.translate(canvas.width / 2, canvas.height / 2);
  pen.rotate((quarters * Math.PI) / 2);
  pen.drawImage(image, -width / 2, -height / 2);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
}

// Keep a photo in this tab, so that going back to a search finds it again; return its place.
export function remember(blob) {
  const place = 1 + Number(sessionStorage.getItem("photos"));
  sessionStorage.setItem("photos", place);
  sessionStorage.removeItem(`photo${place - KEPT}`);
  const reader = new FileReader();
  reader.onload = () => {
    try {
      sessionStorage.setItem(`photo${place}`, reader.result);
    } catch { /* no room: going back then starts anew */ }
  };
  reader.readAsDataURL(blob);
  return place;
}

export const forget = () => sessionStorage.clear();

export function recall(place) {
  const [, kind, text] = /^data:([^;,]*);base64,(.*)$/.exec(sessionStorage.getItem(`photo${place}`) ?? "") ?? [];
  if (!text) return null;
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: kind });
}
