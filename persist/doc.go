// Package persist keeps objects' records: the stores for blobs ([Memory], [Directory], [S3]), the names of the
// blobs ([BlobName]), what is in them ([AppendRecord]), and the committer that puts one record into each
// ([Records]).
package persist
