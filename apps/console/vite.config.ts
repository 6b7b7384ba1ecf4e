import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

/** Built into dist/, which the control plane serves at /test. */
export default defineConfig({
  root: import.meta.dirname,
  base: "/test/",
  plugins: [react()],
  build: { target: "es2023", chunkSizeWarningLimit: 700 },
});
