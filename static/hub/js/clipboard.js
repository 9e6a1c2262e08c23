// Copies a text; answers whether it could. The clipboard is closed to pages served without TLS, unless from loopback.

export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
