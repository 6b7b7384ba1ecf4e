import { expect, it } from "vitest";
import { installedPackages } from "./tree.ts";

it("installedPackages() lists what dpkg has installed, sorted", () => {
  const status = [
    "Package: zlib1g\nStatus: install ok installed\nVersion: 1:1.2.13\nConffiles:\n /etc/x 1",
    "Package: usrmerge\nStatus: deinstall ok config-files\nVersion: 37",
    "Package: bash\nStatus: install ok installed\nVersion: 5.2\n",
    "",
  ].join("\n\n");
  expect(installedPackages(status)).toEqual(["bash 5.2", "zlib1g 1:1.2.13"]);
});
