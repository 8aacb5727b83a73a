/** The lines to paste, for a person who started the server on a terminal. */
export function attachHelp(uris: readonly string[]): string {
  const lines: string[] = [];
  for (const uri of uris) {
    const unix = /^nbd\+unix:\/\/\/([^?]*)\?socket=(.*)$/.exec(uri);
    if (unix !== null) {
      const [, name, socket] = unix.map(decodeURIComponent);
      lines.push(
        `  look      nbdinfo '${uri}'`,
        `  QEMU      -blockdev driver=nbd,node-name=swap0,server.type=unix,server.path=${socket},export=${name},discard=unmap -device virtio-blk-pci,drive=swap0`,
        `  this host nbd-client -b 4096 -unix '${socket}' -N '${name}' /dev/nbd0 && mkswap /dev/nbd0 && swapon -d /dev/nbd0`,
      );
      continue;
    }
    const tcp = /^nbd:\/\/(.*):(\d+)\/(.*)$/.exec(uri);
    if (tcp === null) continue;
    const [, host, port, name] = tcp.map(decodeURIComponent);
    lines.push(
      `  a guest   nbd-client -b 4096 ${host} ${port} -N '${name}' /dev/nbd0 && mkswap /dev/nbd0 && swapon -d /dev/nbd0`,
    );
  }
  return `${lines.join('\n')}\n`;
}
