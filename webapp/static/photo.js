// A photo on its way to the shop: made smaller where that saves time, and remembered by this tab.

const LONG_SIDE = 1600; // pixels; the shop looks at no more
const SMALL = 300_000; // bytes; not worth making smaller
const KEY = "photo";

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

// Return the picture that an image element shows, turned by a quarter, as a JPEG.
export function turned(image, right) {
  const { naturalWidth: width, naturalHeight: height } = image;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [height, width];
  const pen = canvas.getContext("2d");
  pen.translate(right ? height : 0, right ? 0 : width);
  pen.rotate(((right ? 1 : -1) * Math.PI) / 2);
  pen.drawImage(image, 0, 0);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
}

// Keep the photo in this tab, so that going back to a search finds it again.
export function remember(blob) {
  const reader = new FileReader();
  reader.onload = () => {
    try {
      sessionStorage.setItem(KEY, reader.result);
    } catch {
      sessionStorage.removeItem(KEY); // no room: going back then starts anew
    }
  };
  reader.readAsDataURL(blob);
}

export const forget = () => sessionStorage.removeItem(KEY);

export function recall() {
  const [, kind, text] = /^data:([^;,]*);base64,(.*)$/.exec(sessionStorage.getItem(KEY) ?? "") ?? [];
  if (!text) return null;
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: kind });
}
