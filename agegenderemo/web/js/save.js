// Files that the page itself makes.

const dated = () => "agegenderemo-" + new Date().toISOString().slice(0, 19).replaceAll(":", "-");

// Hands a blob over under a name.
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// The frame that was read and what is drawn over it, as on the page.
export function savePicture(frame, overlay, mirrored) {
  const picture = document.createElement("canvas");
  picture.width = overlay.width;
  picture.height = overlay.height;
  const pen = picture.getContext("2d");
  pen.save();
  if (mirrored) pen.setTransform(-1, 0, 0, 1, picture.width, 0);
  pen.drawImage(frame, 0, 0, picture.width, picture.height);
  pen.restore();
  pen.drawImage(overlay, 0, 0);
  picture.toBlob((blob) => save(blob, dated() + ".png"), "image/png");
}

// Blobs by their ending.
export function saveFiles(files) {
  for (const [ending, blob] of Object.entries(files)) save(blob, dated() + "." + ending);
}

export function saveJson({ width, height, faces }) {
  save(new Blob([JSON.stringify({ width, height, faces }, null, 1)], { type: "application/json" }), dated() + ".json");
}
