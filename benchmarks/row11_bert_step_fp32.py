"""Row 11: the step of row 9 with fp32 on both sides; same script, same options.

python benchmarks/row11_bert_step_fp32.py [--threads 1] [--samples 4] [--tokens 128]
"""

from row09_bert_step import main

if __name__ == "__main__":
    main(11)
