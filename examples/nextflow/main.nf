// epilm in shards under Nextflow: nextflow run main.nf --run ft --input seqs.fa --shards 8
params.run = null
params.input = null
params.options = ""   // e.g. "--batch-size 512"
params.shards = 4
params.out = "scores.tsv"

process shard {
    errorStrategy 'retry'
    maxRetries 2

    input:
    val i
    path run, name: 'run'
    path input

    output:
    path "parts/part-${i}-of-${params.shards}"

    script:
    """
    epilm predict run ${input} ${params.options} --shard ${i}/${params.shards} --out parts
    """
}

process merge {
    publishDir '.', mode: 'copy'

    input:
    path parts
    path run, name: 'run'
    path input

    output:
    path params.out

    script:
    """
    epilm merge ${parts} --out ${params.out}
    """
}

workflow {
    run = file(params.run)
    input = file(params.input)
    parts = shard(Channel.of(1..params.shards), run, input)
    merge(parts.collect(), run, input)
}
