// What the static page decides of a picture before it is decoded.
import assert from "node:assert/strict";
import { test } from "node:test";

import { isSrgb, readSize } from "../../browser/picture.js";

const bytes = (text) => Uint8Array.from(text, (one) => one.charCodeAt(0));

test("only what has another profile than sRGB is converted", () => {
  assert.equal(isSrgb(bytes("\xff\xd8 no profile")), true);
  assert.equal(isSrgb(bytes("ICC_PROFILE\0 s\0R\0G\0B\0 IEC61966")), true);
  assert.equal(isSrgb(bytes("iCCPsRGB IEC61966-2.1\0")), true);
  for (const mark of ["ICC_PROFILE\0", "iCCP", "ICCP"]) assert.equal(isSrgb(bytes(mark + "Display P3")), false);
});

test("a picture is read no larger than every canvas may be", () => {
  assert.deepEqual(readSize(4000, 3000), { width: 4000, height: 3000 });
  const { width, height } = readSize(12000, 9000);
  assert.ok(width * height <= 2 ** 24 && width * height > 0.99 * 2 ** 24);
  assert.ok(Math.abs(width / height - 4 / 3) < 0.001);
  assert.deepEqual(readSize(65536, 2), { width: 16384, height: 1 });
  assert.deepEqual(readSize(1, 1), { width: 1, height: 1 });
});
