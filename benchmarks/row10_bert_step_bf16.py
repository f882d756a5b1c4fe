"""Row 10: the step of row 9 with bf16 on both sides; same script, same options.

python benchmarks/row10_bert_step_bf16.py [--threads 1] [--samples 4] [--tokens 128]
"""

from row09_bert_step import main

if __name__ == "__main__":
    main(10)
