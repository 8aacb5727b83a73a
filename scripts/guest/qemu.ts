// How the guest's machine is put together.
import { spawnSync } from 'node:child_process';
import { type Endpoint, toBlockdev } from './endpoint.ts';
import type { Attach } from './options.ts';
import { toolPath } from './tools.ts';

export type Accelerator = 'kvm' | 'tcg';

/** /dev/kvm can exist where the processor lends no VMX: only a machine that starts tells. */
export function probeAccelerator(): Accelerator {
  const args = ['-accel', 'kvm', '-cpu', 'host', '-nodefaults', '-display', 'none', '-S', '-monitor', 'stdio'];
  const probe = spawnSync(toolPath('qemu-system-x86_64'), args, { input: 'quit\n', timeout: 10_000 });
  return probe.status === 0 ? 'kvm' : 'tcg';
}

interface Machine {
  readonly accelerator: Accelerator;
  readonly kernel: string;
  readonly initramfs: string;
  readonly attach: Attach;
  readonly endpoint: Endpoint;
  /** Seconds for which QEMU's client keeps requests while its server is gone; none unless given. */
  readonly reconnectSeconds?: number;
  /** 256 unless given. */
  readonly memoryMib?: number;
  /** Further devices. */
  readonly more?: readonly string[];
}

export function qemuArguments(machine: Machine): string[] {
  const { accelerator, kernel, initramfs, attach, memoryMib = 256, more = [] } = machine;
  return [
    // With QEMU 7.2's emulation of cmpxchg16b the guest's slab allocator takes a double fault.
    ...(accelerator === 'kvm'
      ? ['-accel', 'kvm', '-cpu', 'host']
      : ['-accel', 'tcg,thread=multi', '-cpu', 'qemu64,-cx16']),
    ...['-nodefaults', '-no-reboot', '-display', 'none', '-smp', '2', '-m', String(memoryMib)],
    ...['-chardev', 'stdio,id=console,signal=off', '-serial', 'chardev:console'],
    ...['-kernel', kernel, '-initrd', initramfs],
    // An emulated processor may stand still for seconds on a busy host, which is no lockup of the guest's.
    ...['-append', 'console=ttyS0 loglevel=5 panic=-1 oops=panic nowatchdog mitigations=off'],
    ...(attach === 'blk' ? blockDevice(machine) : network()),
    ...more,
  ];
}

/** cache.direct keeps QEMU from holding pages of its own: what the guest reads is what the server says. */
function blockDevice({ endpoint, reconnectSeconds }: Machine): string[] {
  const blockdev = {
    ...toBlockdev(endpoint),
    ...(reconnectSeconds === undefined ? {} : { 'reconnect-delay': reconnectSeconds }),
    'node-name': 'swap',
    discard: 'unmap',
    'detect-zeroes': 'off',
    cache: { direct: true },
  };
  return [
    ...['-object', 'iothread,id=swap-thread', '-blockdev', JSON.stringify(blockdev)],
    ...['-device', 'virtio-blk-pci,drive=swap,iothread=swap-thread'],
  ];
}

/** User networking: the guest is 10.0.2.15, and this machine's loopback is 10.0.2.2 to it. */
export function network(): string[] {
  return ['-netdev', 'user,id=net,ipv6=off', '-device', 'virtio-net-pci,netdev=net,romfile='];
}

/** A disk that the guest can't write. */
export function readOnlyDisk(file: string): string[] {
  return disk(file, 'files', true);
}

/** One that it can. */
export function writableDisk(file: string): string[] {
  return disk(file, 'room', false);
}

function disk(file: string, name: string, isReadOnly: boolean): string[] {
  const blockdev = { driver: 'file', filename: file, 'node-name': name, 'read-only': isReadOnly };
  return ['-blockdev', JSON.stringify(blockdev), '-device', `virtio-blk-pci,drive=${name}`];
}

/** A port of the guest (/dev/vport0p1) whose bytes are those of a connection to a unix socket. */
export function serialPort(socket: string): string[] {
  return [
    ...['-device', 'virtio-serial-pci', '-chardev', `socket,id=agent,path=${socket},reconnect=1`],
    ...['-device', 'virtserialport,chardev=agent,name=zswapd.agent'],
  ];
}
