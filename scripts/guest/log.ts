// What a run says of one guest: each line with the seconds since its start.
export type Log = (line: string) => void;

export function logger(name: string): Log {
  const begun = performance.now();
  return (line) => {
    const seconds = ((performance.now() - begun) / 1000).toFixed(1).padStart(5);
    process.stdout.write(`vm ${name} ${seconds}s: ${line}\n`);
  };
}
