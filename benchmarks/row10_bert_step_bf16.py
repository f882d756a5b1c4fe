"""Row 10: the step of row 9 with bf16 on both sides; same script, same options.

    python benchmarks/row10_bert_step_bf16.py [--threads 1] [--samples 4] [--tokens 128]

A processor without bf16 instructions emulates both sides, some thirty times slower than fp32 (one kind of product goes
element by element): the ratio is still one at equal precision, and the row says so. `python -m benchmarks` leaves it out
there, with the command that measures it all the same.
"""

from row09_bert_step import main

if __name__ == "__main__":
    main(10)
