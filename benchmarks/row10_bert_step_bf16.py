"""Row 10: the step of row 9 with bf16 on both sides; same script, same options.

    python benchmarks/row10_bert_step_bf16.py [--threads 1] [--samples 4] [--tokens 128]

Without bf16 instructions both sides emulate it, and the row says so: torch multiplies element by
element, a step some forty times as long as in fp32; ours multiplies the rounded numbers in fp32
(`epilm.nn.linear`). `python -m benchmarks` leaves the row out there, with the command that measures
it all the same.
"""

from row09_bert_step import main

if __name__ == "__main__":
    main(10)
