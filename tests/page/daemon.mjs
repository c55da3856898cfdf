// A real daemon on a port of its own, and real OOM kills in memory cgroups of its own. Needs root and a memory controller.
import { spawn, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, rmdirSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

const V1 = "/sys/fs/cgroup/memory";
const v1 = existsSync(join(V1, "memory.limit_in_bytes"));
const MOUNT = v1 ? V1 : "/sys/fs/cgroup";

/// Waits until it is so, within a minute.
export const until = async (what, done) => {
  const end = Date.now() + 60_000;
  for (;;) {
    const found = await done();
    if (found) return found;
    if (Date.now() > end) throw new Error(`not in time: ${what}`);
    await pause(50);
  }
};

/// A directory of the test's own, removed with everything in it.
export const scratch = mkdtempSync(join(tmpdir(), "oom-page-"));

/// Starts `oom-agent run` with a state directory of that name. `address` is where it listens. Ends with the test.
export const start = async (program, state, ...more) => {
  const child = spawn(
    program,
    ["run", "--listen", "127.0.0.1:0", "--state-dir", join(scratch, state), "--sample-every", "1s", ...more],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  process.on("exit", () => child.kill("SIGKILL"));
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text) => (said += text));
  const ended = new Promise((done) => child.on("exit", done));
  const address = await until("the daemon listens", () => {
    if (child.exitCode !== null) throw new Error(`the daemon ended: ${said}`);
    return said.match(/listening on (http:\/\/[0-9.]+:\d+)/)?.[1];
  });
  const stop = async () => {
    child.kill("SIGTERM");
    return await ended;
  };
  return { address, stop, said: () => said };
};

/// A memory cgroup with a limit. `path` is as the kernel names it.
export const cgroup = (name, mib, parent) => {
  const path = `${parent ? parent.path : ""}/${name}`;
  const directory = join(MOUNT, path);
  mkdirSync(directory);
  if (v1 && parent) writeFileSync(join(directory, "memory.use_hierarchy"), "1", { flag: "a" });
  if (mib) {
    writeFileSync(join(directory, v1 ? "memory.limit_in_bytes" : "memory.max"), String(mib << 20));
    try {
      writeFileSync(join(directory, v1 ? "memory.memsw.limit_in_bytes" : "memory.swap.max"), v1 ? String(mib << 20) : "0");
    } catch {
      // The kernel does not count swap.
    }
  }
  return { path, directory };
};

/// Removes it when its last process is gone.
export const remove = async ({ directory }) => {
  await until(`${directory} is empty`, () => {
    try {
      rmdirSync(directory);
    } catch (error) {
      return error.code === "ENOENT";
    }
    return true;
  });
};

/// A program of that name in the cgroup, which holds so much and goes on growing by as much a second.
export const grow = ({ directory }, name, mib, mibEach = 8, everyMs = 200) => {
  const program = join(scratch, name);
  if (!existsSync(program)) copyFileSync(process.execPath, program);
  const script = `
    require("fs").writeFileSync(${JSON.stringify(join(directory, "cgroup.procs"))}, String(process.pid));
    const kept = [Buffer.alloc(${mib} << 20, 1)];
    process.stdout.write("ready");
    const grow = setInterval(() => kept.push(Buffer.alloc(${mibEach} << 20, 1)), ${everyMs});
    if (${mibEach} === 0) { clearInterval(grow); setInterval(() => {}, 1e6); }`;
  const child = spawn(program, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  process.on("exit", () => child.kill("SIGKILL"));
  const ended = new Promise((done) => child.on("exit", (_code, signal) => done(signal)));
  const ready = new Promise((done) => child.stdout.once("data", done));
  return { child, ready, ended };
};

/// Fills the cgroup at once with a program of that name, until it is killed.
export const fill = ({ directory }, name) => {
  const program = join(scratch, name);
  if (!existsSync(program)) copyFileSync("/usr/bin/tail", program);
  // Nobody else is in it, whom the kernel could take as well.
  const script = `head -c 256M /dev/zero | sh -c 'echo $$ > "$1" && exec "$2"' sh "$1" "$2"`;
  if (!statSync(program).isFile()) throw new Error(`${program} is something else`);
  const done = spawnSync("sh", ["-c", script, "sh", join(directory, "cgroup.procs"), program], { stdio: "ignore" });
  if (done.status === 0) throw new Error("it was not killed");
};

export const cleanUp = () => rmSync(scratch, { recursive: true, force: true });
