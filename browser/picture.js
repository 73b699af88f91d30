// Pictures of the user as pixels, decoded by the browser.

const MOST_PIXELS = 16_777_216; // what every browser's canvas holds; larger ones are read smaller
const MOST_SIDE = 16_384; // of those too
const LOOKED_AT = 1 << 20; // bytes of a file in which a colour profile is looked for

export class PictureError extends Error {}

const LATIN = new TextDecoder("latin1");

// Whether the colours of a file are sRGB already: converting them once more would only round them.
export function isSrgb(bytes) {
  const text = LATIN.decode(bytes.subarray(0, LOOKED_AT));
  if (!text.includes("ICC_PROFILE\0") && !text.includes("iCCP") && !text.includes("ICCP")) return true;
  return text.includes("sRGB") || text.includes("s\0R\0G\0B");
}

// The size at which a picture of a width and height is read and drawn.
export function readSize(width, height) {
  const scale = Math.min(1, Math.sqrt(MOST_PIXELS / (width * height)), MOST_SIDE / Math.max(width, height));
  const [wide, high] = [width, height].map((side) => Math.max(1, Math.floor(side * scale)));
  return { width: wide, height: high };
}

// The pixels of a file, the right way up, transparency laid over white: {width, height, data} as of an
// ImageData, and `whole`, the size of a picture that was read smaller. Throws PictureError with a
// sentence for people.
export async function decode(file) {
  const name = file.name || "the picture";
  if (!file.size) throw new PictureError("Cannot read " + name + ": the file is empty.");
  let bitmap;
  try {
    const start = new Uint8Array(await file.slice(0, LOOKED_AT).arrayBuffer());
    bitmap = await createImageBitmap(file, {
      colorSpaceConversion: isSrgb(start) ? "none" : "default",
      imageOrientation: "from-image",
    });
  } catch {
    throw new PictureError(
      "Cannot read " + name + ": this browser knows no such picture. Save it as JPEG or PNG, then choose it again.",
    );
  }
  const whole = { width: bitmap.width, height: bitmap.height };
  const canvas = Object.assign(document.createElement("canvas"), readSize(bitmap.width, bitmap.height));
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const { width, height, data } = pen.getImageData(0, 0, canvas.width, canvas.height);
  return { width, height, data, whole };
}
