#!/usr/bin/env bash
# Maps of every picture under a folder, in one process: the model is loaded once.
# Run it again after an interruption and it goes on where it stopped.
#
#   examples/batch.sh MODEL FOLDER OUT [more options of `saliency compute`]
set -euo pipefail

if [ "$#" -lt 3 ]; then
    echo "usage: $0 MODEL FOLDER OUT [OPTION…]" >&2
    exit 2
fi
model=$1 folder=$2 out=${3%/}
shift 3

if [ -e "$out/run.json" ]; then
    set -- --resume "$@"
fi

# NUL bytes, because a file name may hold anything else. The list of results stays beside the folder.
code=0
find "$folder" -type f \( -iname '*.png' -o -iname '*.jpg' -o -iname '*.jpeg' \) -print0 | sort -z |
    saliency compute "$model" --files-from - --null --out "$out" --jsonl "$@" >>"$out.jsonl" || code=$?

done_=$(grep -c '"status":"ok"' "$out.jsonl" || true)
failed=$(grep -c '"status":"error"' "$out.jsonl" || true)
echo "$done_ done, $failed failed: $out.jsonl"

case $code in
    0) ;;
    3) echo "some pictures failed; the others are done" >&2 ;;
    4) echo "the model can't be used" >&2 ;;
    5) echo "the output can't be written" >&2 ;;
    130 | 143) echo "stopped; run the same command again to go on" >&2 ;;
    *) echo "saliency ended with $code" >&2 ;;
esac
exit "$code"
